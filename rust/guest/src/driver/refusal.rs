//! The errors of opening a session.

use antiphon_machine::Refusal;
use antiphon_machine::safety::AdmissionError;

use super::router::GuestId;

/// Why a session was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The protocol does not have the role.
    #[error("protocol `{protocol}` has no role `{name}`")]
    NoRole {
        /// The protocol's name.
        protocol: String,
        /// The role that was bound.
        name: String,
    },
    /// The protocol does not have the interface.
    #[error("protocol `{protocol}` has no interface `{name}`")]
    NoInterface {
        /// The protocol's name.
        protocol: String,
        /// The interface that was bound.
        name: String,
    },
    /// The guest does not belong to this driver.
    #[error("guest {} does not exist: the driver has {guests}", .guest.0)]
    NoGuest {
        /// The guest that was bound.
        guest: GuestId,
        /// The number of guests of the driver.
        guests: usize,
    },
    /// A role or an interface is bound to two guests.
    #[error("`{name}` is bound to two guests; bind it to one")]
    TwoGuests {
        /// The role or interface.
        name: String,
    },
    /// A role of the guest would send a message that was not in a frame of the guest.
    #[error(
        "`{label}` from `{role}` to `{receiver}` would be attributed to the guest without a frame \
         of its own: {}",
        .reason.explain(.label)
    )]
    Unbacked {
        /// The role, which is bound to the guest.
        role: String,
        /// The message's label.
        label: String,
        /// The role that it would be sent to.
        receiver: String,
        /// Why it does not have a frame.
        reason: Unbacked,
    },
    /// The image is not shown to be safe on this machine.
    #[error("the image is not admitted: {0}")]
    NotAdmitted(#[source] AdmissionError),
    /// The machine refused the session.
    #[error("the machine refused the session: {0:?}")]
    Refused(Refusal),
}

/// Why a message does not have a frame of the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unbacked {
    /// It has no payload, and is not an arm of a choice of the guest.
    NoPayload,
    /// It has no payload, and the guest has not chosen it on some path.
    NotChosen,
    /// Its payload is a name that the role received.
    Received,
    /// Its payload was sent before.
    SentBefore,
    /// Its payload is a value that is not requested from the guest.
    Constant,
    /// Its payload may be one of several values.
    Mixed,
    /// Its payload is that of a message that stays inside the guest.
    Inside,
    /// Its payload was requested for another message.
    OfAnother {
        /// The label of that message.
        label: String,
    },
    /// Its payload is the result of an operation that is not bound to the guest.
    Operation {
        /// The operation's interface.
        interface: String,
        /// The operation.
        operation: String,
    },
    /// The same choice is followed by a request for the payload at one place and not at another.
    BothWays,
    /// The image was not verified, and its program does not follow its automaton.
    Unfollowed,
}

impl Unbacked {
    /// Explains the error of a message with this label, and how to fix it.
    fn explain(&self, label: &str) -> String {
        let own = format!(
            "write `{label}` with a payload of its own, under a name that is not bound yet or \
             without a name"
        );
        let empty = format!(
            "give it a payload, if only an empty record: `record Empty {{}}` and `{label}(Empty)`"
        );
        match self {
            Unbacked::NoPayload => {
                format!("it has no payload, so the guest is not asked for it; {empty}")
            }
            Unbacked::NotChosen => format!(
                "it has no payload, and the guest may not be the one that chose it; {empty}"
            ),
            Unbacked::Received => {
                format!("its payload is a name that was received from another role; {own}")
            }
            Unbacked::SentBefore => {
                format!("its payload was sent before, and one frame is one message; {own}")
            }
            Unbacked::Constant => format!("the guest is not asked for its payload; {own}"),
            Unbacked::Mixed => {
                format!("its payload comes from different places on different paths; {own}")
            }
            Unbacked::Inside => format!(
                "its payload is that of a message that stays inside the guest; {own}, and with \
                 several receivers name one outside the guest first"
            ),
            Unbacked::OfAnother { label: other } => {
                format!("its payload was asked for as that of `{other}`; {own}")
            }
            Unbacked::Operation {
                interface,
                operation,
            } => format!(
                "its payload is the result of `{interface}.{operation}`, which is not bound to \
                 the same guest; bind `{interface}` to that guest, or {own}"
            ),
            Unbacked::BothWays => "the choice between the same labels is followed by its payload \
                 in one place and not in another; give it the same kind of payload in both"
                .to_owned(),
            Unbacked::Unfollowed => {
                "the program of the role does not follow its automaton; verify the image".to_owned()
            }
        }
    }
}
