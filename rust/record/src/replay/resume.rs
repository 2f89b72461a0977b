//! Continues a replay from a checkpoint file, after checks that the file belongs to the recording.

use std::io::Read;

use antiphon_codec::{Encoder, scan};
use antiphon_machine::{DeterminismMode, NoSink, text};

use crate::checkpoint::StoredMachine;
use crate::checks::Checks;
use crate::describe;
use crate::entry::{Checkpoint, Entry, Header, number};
use crate::error::CheckpointError;
use crate::reader::Reader;

use super::player::Player;

/// Reads the recording up to the file's checkpoint. Returns the machine in its state there.
///
/// # Errors
/// As [`Replay::from_checkpoint`](super::Replay::from_checkpoint).
pub(super) fn player<R: Read>(
    reader: &mut Reader<R>,
    stored: &StoredMachine,
) -> Result<Player<NoSink>, CheckpointError> {
    let header = header_digest(reader.header());
    if stored.header != header {
        return Err(other_recording("the header", header, stored.header));
    }
    let mode = reader.header().config.determinism_mode;
    if mode == DeterminismMode::ModuloEffects {
        return Err(CheckpointError::NoDigests);
    }
    let checks = Checks::continued(mode, stored.traces.clone());
    let (point, images) = skip_to(reader, stored)?;
    let found = stored.image_digests();
    if found != images {
        let (expected, got) = list_texts(&images, &found);
        return Err(CheckpointError::OtherRecording {
            what: "the list of images",
            expected,
            got,
        });
    }
    let mut player = Player::new(reader.header().config.clone(), NoSink);
    player.kernel = stored.restore(player.kernel.config().clone())?;
    player.observer.checks = checks.ok_or(CheckpointError::Differs {
        step: point.step,
        what: "the number of traces",
        expected: "0".to_owned(),
        got: stored.traces.len().to_string(),
    })?;
    check_digests(&player, stored, &point)?;
    player.checkpoints = 1;
    player.observer.know_outstanding(&player.kernel);
    Ok(player)
}

/// The digest of a recording's header entry.
pub(super) fn header_digest(header: &Header) -> [u8; 32] {
    let mut bytes = Vec::new();
    header.encode(&mut Encoder::new(&mut bytes));
    *blake3::hash(&bytes).as_bytes()
}

fn other_recording(what: &'static str, expected: [u8; 32], got: [u8; 32]) -> CheckpointError {
    let (expected, got) = describe::digests(&expected, &got);
    CheckpointError::OtherRecording {
        what,
        expected,
        got,
    }
}

/// Reads up to the checkpoint entry to which the file belongs. Returns that entry, and the digests
/// of the images before it, each once.
fn skip_to<R: Read>(
    reader: &mut Reader<R>,
    stored: &StoredMachine,
) -> Result<(Checkpoint, Vec<[u8; 32]>), CheckpointError> {
    let (step, entry) = (stored.step, stored.entry);
    let mut images = Vec::new();
    loop {
        let Some(raw) = reader.raw()? else {
            let tail = Box::new(reader.tail().cloned());
            return Err(CheckpointError::Ends { entry, step, tail });
        };
        let is_image = scan::uint_at(raw.bytes, 1) == Some(number::IMAGE);
        if !is_image && raw.entry < entry {
            continue;
        }
        let decoded = Entry::decode(raw.bytes);
        match decoded {
            Ok(Entry::Checkpoint(point)) if raw.entry == entry && point.step == step => {
                let chain = reader.chain();
                if chain != stored.chain {
                    let what = "the chain value of the checkpoint's record";
                    return Err(other_recording(what, chain, stored.chain));
                }
                return Ok((point, images));
            }
            Ok(Entry::Image(bytes)) if raw.entry < entry => {
                let digest = *blake3::hash(&bytes).as_bytes();
                if !images.contains(&digest) {
                    images.push(digest);
                }
            }
            found => {
                let found = found.map_or_else(|e| e.to_string(), |e| describe::entry(None, &e));
                return Err(CheckpointError::OtherEntry { entry, step, found });
            }
        }
    }
}

/// Compares the restored machine with the recording's checkpoint and with the file's header.
fn check_digests<S>(
    player: &Player<S>,
    stored: &StoredMachine,
    point: &Checkpoint,
) -> Result<(), CheckpointError> {
    let step = point.step;
    let differs = |what, expected: String, got: String| {
        Err(CheckpointError::Differs {
            step,
            what,
            expected,
            got,
        })
    };
    let (got, _) = player.observer.checks.take(&player.kernel);
    if point.clock != got.clock {
        return differs("the clock", point.clock.to_string(), got.clock.to_string());
    }
    let texts = |recorded: Option<[u8; 32]>, own: Option<[u8; 32]>| {
        if let (Some(recorded), Some(own)) = (recorded, own) {
            return describe::digests(&recorded, &own);
        }
        let text = |digest: Option<[u8; 32]>| {
            digest.map_or_else(|| "absent".to_owned(), |digest| describe::digest(&digest))
        };
        (text(recorded), text(own))
    };
    if point.state.is_none() || point.state != got.state {
        let (expected, got) = texts(point.state, got.state);
        return differs("the state digest", expected, got);
    }
    if got.trace.is_some() && point.trace != got.trace {
        let (expected, got) = texts(point.trace, got.trace);
        return differs("the trace digest", expected, got);
    }
    let own = player.kernel.state_digest();
    if own != stored.state {
        let (expected, got) = describe::digests(&own, &stored.state);
        return differs("the state digest in its header", expected, got);
    }
    Ok(())
}

/// Describes two lists of digests that differ, in an error.
fn list_texts(expected: &[[u8; 32]], got: &[[u8; 32]]) -> (String, String) {
    let list = |digests: &[[u8; 32]], text: fn(&[u8; 32]) -> String| {
        let digests: Vec<String> = digests.iter().map(text).collect();
        format!("[{}]", digests.join(", "))
    };
    let texts = |text| (list(expected, text), list(got, text));
    let short = texts(describe::digest);
    if short.0 == short.1 {
        texts(text::whole_digest)
    } else {
        short
    }
}
