//! The operating system, and whether this user can install packages on it.

use super::error::ProvisionError;

/// An operating system on which packages can be installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct System {
    /// Whether the system is Debian. Otherwise it is Ubuntu.
    pub is_debian: bool,
    /// The codename of the system's release, such as `bookworm` or `noble`.
    pub codename: String,
    /// The full name of the system, such as `Debian GNU/Linux 12 (bookworm)`.
    pub name: String,
}

impl System {
    /// Returns the operating system of this machine. Fails if the system is neither Debian nor Ubuntu, or if this user
    /// is not root. The error message names `what` as the software that cannot be installed.
    pub fn for_installing(what: &str) -> Result<Self, ProvisionError> {
        let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        let system = Self::from_os_release(&text)
            .map_err(|system| ProvisionError::UnknownSystem { what: what.to_owned(), system })?;
        let uid = rustix::process::geteuid();
        if uid.is_root() {
            Ok(system)
        } else {
            Err(ProvisionError::NotRoot { what: what.to_owned(), uid: uid.as_raw() })
        }
    }

    /// Parses the text of `/etc/os-release`. If the system is neither Debian nor Ubuntu, the error is the system's
    /// name.
    pub fn from_os_release(text: &str) -> Result<Self, String> {
        let field = |key: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            value.map(|value| value.trim().trim_matches(['"', '\'']).to_owned()).filter(|value| !value.is_empty())
        };
        let name = field("PRETTY_NAME").or_else(|| field("NAME")).unwrap_or_else(|| "an unnamed system".to_owned());
        let is_debian = match field("ID").as_deref() {
            Some("debian") => true,
            Some("ubuntu") => false,
            _ => return Err(name),
        };
        // Older images of Debian testing and unstable have no VERSION_CODENAME, so the codename may be empty.
        let codename = field("VERSION_CODENAME").unwrap_or_default();
        Ok(Self { is_debian, codename, name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_debian_and_ubuntu_are_known() {
        let bookworm = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_CODENAME=bookworm\nID=debian\n";
        let system = System::from_os_release(bookworm).unwrap();
        assert_eq!((system.is_debian, system.codename.as_str()), (true, "bookworm"));
        let noble = "ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\nPRETTY_NAME='Ubuntu 24.04 LTS'\n";
        let system = System::from_os_release(noble).unwrap();
        assert_eq!((system.is_debian, system.name.as_str()), (false, "Ubuntu 24.04 LTS"));
        for (text, name) in [
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\nNAME=\"Linux Mint\"\n", "Linux Mint"),
            ("ID=fedora\nPRETTY_NAME=\"Fedora Linux 44\"\n", "Fedora Linux 44"),
            ("", "an unnamed system"),
        ] {
            assert_eq!(System::from_os_release(text).unwrap_err(), name);
        }
    }
}
