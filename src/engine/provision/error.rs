//! What can go wrong when something is installed.

/// An error of provisioning.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProvisionError {
    /// Only root can install.
    #[error("installing needs root")]
    NotRoot,
}

impl ProvisionError {
    /// What to do about it.
    pub fn fix(&self) -> Option<String> {
        None
    }

    /// Last lines of output, where there are any.
    pub fn evidence(&self) -> Vec<String> {
        Vec::new()
    }
}
