use std::num::NonZeroU32;

use crate::bounds::{IDS_MAX, PROTOCOL_MINOR, VersionRange, WINDOW};
use crate::link::Violation;
use crate::message::{Features, FrameLen, Hello, HelloErr, HelloErrCode, HelloOk};

/// A host's offer in its handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostOffer {
    /// The supported versions.
    pub versions: VersionRange,
    /// The known features.
    pub features: Features,
    /// The most requests that the host will have open at once, not counting pings.
    pub ids_max: NonZeroU32,
    /// The longest frame body that this side accepts.
    pub frame_len_max: FrameLen,
}

impl Default for HostOffer {
    /// All features that this crate knows, with its default bounds.
    fn default() -> Self {
        Self {
            versions: VersionRange::SUPPORTED,
            features: Features::all(),
            ids_max: NonZeroU32::MIN.saturating_add(IDS_MAX - 1),
            frame_len_max: FrameLen::DEFAULT,
        }
    }
}

impl HostOffer {
    /// The offer as the message that carries it.
    #[must_use]
    pub fn hello(&self) -> Hello {
        Hello {
            minor: Some(PROTOCOL_MINOR),
            ids_max: Some(self.ids_max),
            features: self.features,
            min_version: self.versions.min,
            frame_len_max: Some(self.frame_len_max),
            protocol_version: self.versions.max,
        }
    }

    /// The agreement that results from the guest's answer.
    pub(crate) fn agree(&self, ok: &HelloOk) -> Result<Agreed, Violation> {
        if !self.versions.contains(ok.protocol_version) {
            let (offered, got) = (self.versions, ok.protocol_version);
            return Err(Violation::VersionNotOffered { offered, got });
        }
        Ok(Agreed {
            version: ok.protocol_version,
            features: self.features.common(ok.agent_features),
            ids_max: self.ids_max.get().min(ok.ids_max()),
            stdin_window: ok.stdin_window,
            peer_frame_len_max: ok.frame_len_max.unwrap_or_default(),
        })
    }
}

/// An agent's offer in its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentOffer {
    /// The supported versions.
    pub versions: VersionRange,
    /// The features that it serves.
    pub features: Features,
    /// The most requests that it accepts at once, not counting pings.
    pub ids_max: NonZeroU32,
    /// The longest frame body that this side accepts.
    pub frame_len_max: FrameLen,
    /// The initial credit of every standard input, in bytes; `None`: no flow control.
    pub stdin_window: Option<u32>,
    /// Its operating system, for people.
    pub guest_os: String,
    /// Its own version, for people.
    pub agent_version: String,
}

impl AgentOffer {
    /// An offer of these features, with the default bounds of this crate.
    #[must_use]
    pub fn new(features: Features, guest_os: String, agent_version: String) -> Self {
        Self {
            versions: VersionRange::SUPPORTED,
            features,
            ids_max: NonZeroU32::MIN.saturating_add(IDS_MAX - 1),
            frame_len_max: FrameLen::DEFAULT,
            stdin_window: Some(WINDOW),
            guest_os,
            agent_version,
        }
    }

    /// The answer to a host's offer and the resulting agreement, or the refusal.
    pub(crate) fn agree(&self, hello: &Hello) -> Result<(HelloOk, Agreed), HelloErr> {
        let offered = hello.versions();
        let Some(version) = self.versions.highest_common(offered) else {
            return Err(self.refuse(offered));
        };
        let ok = HelloOk {
            minor: Some(PROTOCOL_MINOR),
            ids_max: Some(self.ids_max),
            guest_os: self.guest_os.clone(),
            stdin_window: self.stdin_window,
            agent_version: self.agent_version.clone(),
            frame_len_max: Some(self.frame_len_max),
            agent_features: self.features,
            protocol_version: version,
        };
        let agreed = Agreed {
            version,
            features: self.features.common(hello.features),
            ids_max: self.ids_max.get().min(hello.ids_max()),
            stdin_window: self.stdin_window,
            peer_frame_len_max: hello.frame_len_max.unwrap_or_default(),
        };
        Ok((ok, agreed))
    }

    fn refuse(&self, offered: VersionRange) -> HelloErr {
        let supported = self.versions;
        let code = if offered.max < supported.min {
            HelloErrCode::TooOld
        } else {
            HelloErrCode::TooNew
        };
        let message =
            format!("the host speaks version {offered}, this agent speaks version {supported}");
        HelloErr {
            code,
            message,
            offered,
            supported,
        }
    }
}

/// The result of the handshake, which binds both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The version of every frame.
    pub version: u32,
    /// The features that both sides have.
    pub features: Features,
    /// The most requests that may be open at once, not counting pings.
    pub ids_max: u32,
    /// The initial credit of every standard input, in bytes; `None`: no flow control.
    pub stdin_window: Option<u32>,
    /// The longest frame body that the peer accepts.
    pub peer_frame_len_max: FrameLen,
}
