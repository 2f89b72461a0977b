//! What the next step of a coroutine may write.

use crate::ids::{CoroutineId, Reg};
use crate::image::Instruction;
use crate::session::{Coroutine, Session};
use crate::value::Value;
use crate::verify::VerifiedImage;
use crate::wave::{Footprint, Key};

/// What the coroutine's next step may write: its session's ledger, itself, and what its instruction
/// adds.
#[inline]
pub(super) fn footprint(image: &VerifiedImage, s: &Session, who: CoroutineId) -> Footprint {
    let ledger = Key::Ledger { session: s.id };
    let mut keys = Footprint::from_slice(&[ledger, key_of(s, who)]);
    let Some(coroutine) = s.coroutines.get(who.index()) else {
        return keys;
    };
    let program = image.image().programs.get(coroutine.program.index());
    match program.and_then(|program| program.code.get(coroutine.pc.index())) {
        Some(
            Instruction::Send { chan, .. }
            | Instruction::Receive { chan, .. }
            | Instruction::Offer { chan, .. }
            | Instruction::Choose { chan, .. },
        ) => {
            // A step that finds no endpoint or no state faults, and writes nothing more.
            let _ = add_message_keys(&mut keys, image, s, coroutine, *chan);
        }
        // A table of coroutines has no more rows than there are numbers.
        Some(Instruction::Spawn { .. }) => {
            keys.push(key_of(s, CoroutineId(s.coroutines.len() as u16)));
        }
        Some(
            Instruction::Invoke { .. }
            | Instruction::Check { .. }
            | Instruction::Set { .. }
            | Instruction::Move { .. }
            | Instruction::Jump { .. }
            | Instruction::Branch { .. }
            | Instruction::Yield
            | Instruction::Close
            | Instruction::Halt,
        )
        | None => {}
    }
    keys
}

fn key_of(s: &Session, coroutine: CoroutineId) -> Key {
    let session = s.id;
    Key::Coroutine { session, coroutine }
}

/// Adds what a send or a receive writes: the endpoint, the edge, and the peer that it may wake.
fn add_message_keys(
    keys: &mut Footprint,
    image: &VerifiedImage,
    s: &Session,
    coroutine: &Coroutine,
    chan: Reg,
) -> Option<()> {
    let Value::Endpoint(role) = *coroutine.registers.get(chan.index())? else {
        return None;
    };
    let point = image.point(role, s.endpoints.get(role.index())?.state)?;
    let (session, edge) = (s.id, point.edge);
    keys.push(Key::Endpoint { session, role });
    keys.push(Key::Edge { session, edge });
    let peer = s.endpoints.get(point.peer.index())?;
    keys.push(key_of(s, peer.holder));
    Some(())
}
