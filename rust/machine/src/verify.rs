//! Image verification.
use crate::ids::{LabelId, RoleId};
use crate::image::CodeImage;

/// An image that has been checked.
#[derive(Debug)]
pub struct VerifiedImage {
    image: CodeImage,
}

impl VerifiedImage {
    /// The image as data.
    pub fn image(&self) -> &CodeImage {
        &self.image
    }

    /// A role's name.
    pub fn role_name(&self, role: RoleId) -> &str {
        &self.image.roles[role.index()].name
    }

    /// A label's name.
    pub fn label_name(&self, label: LabelId) -> &str {
        &self.image.labels[label.index()]
    }
}
