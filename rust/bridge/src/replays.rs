//! Recordings for the model, which replays them itself.
//!
//! The kernel's side checks the chain of a recording and hands its entries over in their canonical
//! bytes. The model finds the turns between them and the certificates of waves. It also records the
//! run again, and its entries must be those of the recording.

use std::sync::Arc;

use antiphon_codec::Encoder;
use antiphon_machine::{
    Canonical, CodeImage, EffectId, Ingress, ProtocolMachineConfig, VerifiedImage,
};
use antiphon_record::{Entry, Reader, Tail};

use crate::recording::RecordingError;

/// A recording as the model reads it.
#[derive(Clone, Debug)]
pub struct Replayable {
    /// The configuration of the recorded machine.
    pub config: ProtocolMachineConfig,
    /// The images, in the order in which they were loaded.
    pub images: Vec<Arc<VerifiedImage>>,
    /// The entries other than header, images and end.
    pub entries: Vec<Entry>,
    /// The end of the recording.
    pub end: Entry,
}

impl Replayable {
    /// Reads a recording.
    ///
    /// # Errors
    /// When it cannot be read, is damaged or cut off, or was not finished.
    pub fn read(recording: &[u8]) -> Result<Replayable, RecordingError> {
        let mut reader = Reader::open(recording)?;
        let config = reader.header().config.clone();
        let (mut images, mut entries) = (Vec::new(), Vec::new());
        while let Some(entry) = reader.entry()? {
            match entry {
                Entry::Image(bytes) => {
                    let image = CodeImage::from_bytes(&bytes, CodeImage::LIMITS);
                    let entry = reader.entries() - 1;
                    let image = image.map_err(|error| RecordingError::Image { entry, error })?;
                    images.push(Arc::new(VerifiedImage::unchecked(image)));
                }
                Entry::Header(_)
                | Entry::Request(_)
                | Entry::Answer(_)
                | Entry::Input { .. }
                | Entry::Refused(_)
                | Entry::Checkpoint(_)
                | Entry::Wave { .. }
                | Entry::End(_) => entries.push(entry),
            }
        }
        match (reader.tail(), entries.pop()) {
            (Some(Tail::Sealed), Some(end @ Entry::End(_))) => Ok(Replayable {
                config,
                images,
                entries,
                end,
            }),
            (tail, _) => Err(RecordingError::NotWhole {
                tail: tail.cloned(),
            }),
        }
    }

    /// The bytes that the model reads: images with their digests, configuration, entries, end.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut out = Encoder::new(&mut bytes);
        out.array(4).array(self.images.len());
        for image in &self.images {
            out.array(2).bytes(image.digest());
            image.image().encode(&mut out);
        }
        self.config.encode(&mut out);
        out.array(self.entries.len());
        for entry in &self.entries {
            out.raw(&entry.to_bytes());
        }
        out.raw(&self.end.to_bytes());
        bytes
    }

    /// The entries of a recording of the same run without checkpoints.
    ///
    /// An outcome that follows its request at the same step, with no other entry between them, is
    /// recorded as an answer. So an outcome that only a checkpoint separates from its request is an
    /// answer if the checkpoint is left out.
    pub fn without_checkpoints(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut asked: Option<(u64, EffectId)> = None;
        for entry in &self.entries {
            match entry {
                Entry::Checkpoint(_) => continue,
                Entry::Request(request) => {
                    asked = Some((request.step, request.effect));
                    entries.push(entry.clone());
                    continue;
                }
                Entry::Input {
                    step,
                    input: Ingress::Outcome { effect, outcome },
                } if asked == Some((*step, *effect)) => {
                    entries.push(Entry::Answer(outcome.clone()));
                }
                Entry::Header(_)
                | Entry::Image(_)
                | Entry::Answer(_)
                | Entry::Input { .. }
                | Entry::Refused(_)
                | Entry::Wave { .. }
                | Entry::End(_) => entries.push(entry.clone()),
            }
            asked = None;
        }
        entries
    }
}
