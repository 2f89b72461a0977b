//! A stream of any bytes, at any split, into both sides of a link.
//!
//! The first byte of the input selects how the rest is read: as the stream itself, or as bodies to
//! which the right lengths are added, so that mutations get past the framing.
#![no_main]

use antiphon_wire::{
    AgentLink, AgentOffer, Deframer, Envelope, EventDeframer, Features, FrameError, FrameLen,
    HEADER_LEN, HostLink, HostOffer, VersionRange,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((mode, rest)) = input.split_first() else {
        return;
    };
    let stream = if mode & 1 == 0 {
        rest.to_vec()
    } else {
        framed(rest)
    };
    let whole = messages(&[&stream]);
    assert_eq!(
        messages(&split(&stream, *mode)),
        whole,
        "a split changes nothing"
    );
    whole.0.iter().flatten().for_each(round_trip);
    events(&split(&stream, *mode));
    host(&stream);
    agent(&stream);
});

/// Reads bodies with a length of one byte, and writes them with the length of the wire.
fn framed(mut rest: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    while let Some((len, after)) = rest.split_first() {
        let (body, next) = after.split_at(after.len().min(usize::from(*len)));
        stream.extend_from_slice(&(body.len() as u32).to_be_bytes());
        stream.extend_from_slice(body);
        rest = next;
    }
    stream
}

/// Splits the stream into pieces whose lengths depend on `seed`; some are empty.
fn split(stream: &[u8], seed: u8) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let (mut rest, mut state) = (stream, u32::from(seed) | 1);
    while !rest.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (piece, next) = rest.split_at(rest.len().min((state >> 27) as usize));
        pieces.push(piece);
        rest = next;
    }
    pieces
}

type Messages = (Vec<Result<Envelope, FrameError>>, Result<(), FrameError>);

fn len_max() -> FrameLen {
    FrameLen::new(4096).expect("the least that is allowed")
}

/// The messages and errors of the pieces, up to a fatal error, and the result at the end.
fn messages(pieces: &[&[u8]]) -> Messages {
    let mut deframer = Deframer::new(len_max(), VersionRange::SUPPORTED);
    let mut out = Vec::new();
    for piece in pieces {
        deframer.push(piece);
        assert!(
            deframer.reserved_len() <= 4 * (4096 + HEADER_LEN + piece.len()),
            "memory is bounded"
        );
        loop {
            match deframer.next() {
                Ok(None) => break,
                Ok(Some(envelope)) => out.push(Ok(envelope)),
                Err(error) => {
                    let fatal = error.is_fatal();
                    out.push(Err(error));
                    if fatal {
                        return (out, deframer.finish());
                    }
                }
            }
        }
    }
    (out, deframer.finish())
}

/// A decoded message can be encoded, and decodes to the same.
fn round_trip(envelope: &Envelope) {
    let Ok(frame) = envelope.to_frame() else {
        return;
    };
    let again = Envelope::decode(&frame[HEADER_LEN..], VersionRange::SUPPORTED);
    assert_eq!(again.as_ref(), Ok(envelope));
}

fn events(pieces: &[&[u8]]) {
    let mut deframer = EventDeframer::default();
    for piece in pieces {
        deframer.push(piece);
        loop {
            match deframer.next() {
                Ok(None) => break,
                Ok(Some(event)) => {
                    let mut frame = Vec::new();
                    event
                        .encode(&mut frame)
                        .expect("a decoded event can be encoded");
                }
                Err(error) if error.is_fatal() => return,
                Err(_) => {}
            }
        }
    }
}

/// A hostile guest: every request of the host ends once.
fn host(stream: &[u8]) {
    let mut out = Vec::new();
    let mut link = HostLink::new(HostOffer::default(), &mut out).expect("the default offer");
    let mut deframer = Deframer::new(len_max(), VersionRange::SUPPORTED);
    let mut asked = 0;
    deframer.push(stream);
    loop {
        match deframer.next() {
            Ok(None) => break,
            Ok(Some(envelope)) => {
                // The host requests each message that the guest sends.
                let message = envelope.message.clone();
                asked += usize::from(link.request(message, &mut out).is_ok());
                let _ = link.receive(envelope, &mut out);
            }
            Err(error) => {
                let fatal = error.is_fatal();
                let _ = link.reject(error, &mut out);
                if fatal {
                    break;
                }
            }
        }
    }
    assert!(link.lost().len() <= asked);
    assert!(link.lost().is_empty(), "lost once");
    assert!(
        messages(&[&out]).1.is_ok(),
        "a link sends well-formed messages"
    );
}

/// A hostile host.
fn agent(stream: &[u8]) {
    let mut out = Vec::new();
    let offer = AgentOffer::new(Features::all(), "os".to_owned(), "0".to_owned());
    let mut link = AgentLink::new(offer);
    let mut deframer = Deframer::new(len_max(), VersionRange::SUPPORTED);
    deframer.push(stream);
    loop {
        match deframer.next() {
            Ok(None) => break,
            Ok(Some(envelope)) => {
                let (id, message) = (envelope.id, envelope.message.clone());
                let _ = link.receive(envelope, &mut out);
                let _ = link.send(id, message, &mut out);
            }
            Err(error) => {
                let fatal = error.is_fatal();
                let _ = link.reject(error, &mut out);
                if fatal {
                    break;
                }
            }
        }
    }
    let open = link.open_requests().count();
    assert_eq!(link.lost().len(), open);
    assert!(link.lost().is_empty(), "lost once");
    assert!(
        messages(&[&out]).1.is_ok(),
        "a link sends well-formed messages"
    );
}
