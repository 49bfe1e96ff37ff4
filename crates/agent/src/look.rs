//! Reads the settings of a container that decide how its programs resolve names, and which certificates they trust.
//!
//! The agent runs in the application's own container, or in an ephemeral container beside it. In the second case, the
//! agent reads the application's files through `/proc/PID/root`. Only certificates leave the container, even if a file
//! also contains a private key.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, OwnedFd};

use anyhow::Context as _;
use parallax_vocab::settings::{
    BUNDLES, FOLDERS, LIMIT_BYTES, NamedBy, Settings, TOO_LARGE, TrustStore, certificates, only_certificates,
};
use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};

/// The text that a report shows in place of a path if the container has no certificates in any of the usual files.
const NO_BUNDLE: &str = "the system's file";
/// The largest number of file names that are read from one folder of certificates.
const FILES_LIMIT: usize = 2_000;

/// Reads the settings of the container in which the process with the id `process` runs. With `None`, reads the
/// settings of the agent's own container.
pub(crate) fn look(process: Option<u32>) -> anyhow::Result<Settings> {
    let program_bytes = fs::metadata("/proc/self/exe").context("failed to read the own program")?.len();
    Ok(Settings { program_bytes, ..Container::of(process)?.settings() })
}

/// The files and the environment of a container.
struct Container {
    /// The root folder of the examined process. `None` means the root folder of this process.
    root: Option<OwnedFd>,
    /// The working directory of the examined process. Relative paths in environment variables are relative to this
    /// directory.
    work: String,
    variables: BTreeMap<String, String>,
}

impl Container {
    fn of(process: Option<u32>) -> anyhow::Result<Self> {
        let Some(process) = process else {
            let work = std::env::current_dir().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
            return Ok(Self { root: None, work, variables: std::env::vars_os().filter_map(text).collect() });
        };
        let at = format!("/proc/{process}");
        let not_readable = |what: &str| format!("the {what} of process {process} cannot be read");
        let root = open(format!("{at}/root"), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .with_context(|| not_readable("files"))?;
        let environ = fs::read(format!("{at}/environ")).with_context(|| not_readable("environment"))?;
        let work = fs::read_link(format!("{at}/cwd")).map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self { root: Some(root), work, variables: variables(&environ) })
    }

    fn settings(&self) -> Settings {
        let read = |path| self.read(path).ok();
        Settings {
            program_bytes: 0,
            resolv_conf: read("/etc/resolv.conf"),
            hosts: read("/etc/hosts"),
            nsswitch: read("/etc/nsswitch.conf"),
            stores: self.stores(),
        }
    }

    fn stores(&self) -> Vec<TrustStore> {
        let mut all = Vec::new();
        for named_by in NamedBy::VARIABLES {
            let path = named_by.variable().and_then(|it| self.variables.get(it)).filter(|it| !it.is_empty());
            if let Some(path) = path {
                all.push(TrustStore { named_by, path: path.clone(), certificates: self.certificates(path) });
            }
        }
        let system = BUNDLES.iter().find_map(|path| match self.read(path) {
            Ok(text) => Some((*path, Ok(only_certificates(&text).unwrap_or_default()))),
            Err(error) if is_too_large(&error) => Some((*path, Err(error.to_string()))),
            Err(_) => None,
        });
        let (path, read) = system.unwrap_or((NO_BUNDLE, Ok(String::new())));
        let folder = self.folder(read.as_deref().unwrap_or_default());
        let certificates = match read {
            Ok(text) if text.is_empty() => Err("the container has none".to_owned()),
            read => read,
        };
        all.push(TrustStore { named_by: NamedBy::System, path: path.to_owned(), certificates });
        all.extend(folder);
        all
    }

    fn certificates(&self, path: &str) -> Result<String, String> {
        let text = self.read(path).map_err(|error| error.to_string())?;
        only_certificates(&text).ok_or_else(|| "it has no certificate (PEM)".to_owned())
    }

    /// Returns the certificates in the folders of the variable `SSL_CERT_DIR`. If this variable is empty or not set,
    /// the system's folders are used. Certificates that the PEM text `known` contains are left out. Returns `None` if
    /// no other certificate is found.
    fn folder(&self, known: &str) -> Option<TrustStore> {
        let named = self.variables.get("SSL_CERT_DIR").filter(|it| !it.is_empty());
        let folders: Vec<&str> = named.map_or_else(|| FOLDERS.to_vec(), |it| it.split(':').collect());
        let certificates = self.further(&folders, known);
        let path = folders.join(":");
        (certificates.as_deref() != Ok("")).then_some(TrustStore { named_by: NamedBy::Folder, path, certificates })
    }

    fn further(&self, folders: &[&str], known: &str) -> Result<String, String> {
        let mut seen: HashSet<String> = certificates(known).map(bare).collect();
        let mut found = String::new();
        for folder in folders {
            for name in self.names(folder).unwrap_or_default() {
                let text = match self.read(&format!("{folder}/{name}")) {
                    Ok(text) => text,
                    Err(error) if is_too_large(&error) => return Err(error.to_string()),
                    Err(_) => continue,
                };
                for certificate in certificates(&text).filter(|it| seen.insert(bare(it))) {
                    found.push_str(certificate);
                    found.push('\n');
                }
                if found.len() as u64 > LIMIT_BYTES {
                    return Err(TOO_LARGE.to_owned());
                }
            }
        }
        Ok(found)
    }

    /// Returns the names of the files in a folder, sorted; at most [`FILES_LIMIT`] names.
    fn names(&self, folder: &str) -> io::Result<Vec<String>> {
        let opened = self.open(folder)?;
        let entries = fs::read_dir(format!("/proc/self/fd/{}", opened.as_raw_fd()))?;
        let mut names: Vec<String> =
            entries.flatten().filter_map(|it| it.file_name().into_string().ok()).take(FILES_LIMIT).collect();
        names.sort();
        Ok(names)
    }

    fn read(&self, path: &str) -> io::Result<String> {
        let file = self.open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        let mut bytes = Vec::new();
        file.take(LIMIT_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > LIMIT_BYTES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, TOO_LARGE));
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn open(&self, path: &str) -> io::Result<File> {
        let path = if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", self.work) };
        // Without `NONBLOCK`, opening a named pipe would block until another process writes to the pipe.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = match &self.root {
            None => open(path, flags, Mode::empty())?,
            // A symbolic link with an absolute path must stay inside the root folder of the application's container.
            // Otherwise it would lead to a file of the agent's own container.
            Some(root) => openat2(root, path.trim_start_matches('/'), flags, Mode::empty(), ResolveFlags::IN_ROOT)?,
        };
        Ok(opened.into())
    }
}

fn is_too_large(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::FileTooLarge
}

fn text((name, value): (std::ffi::OsString, std::ffi::OsString)) -> Option<(String, String)> {
    Some((name.into_string().ok()?, value.into_string().ok()?))
}

/// Reads the variables of another process from its `environ`.
fn variables(environ: &[u8]) -> BTreeMap<String, String> {
    let all = environ.split(|it| *it == 0).filter_map(|it| std::str::from_utf8(it).ok()?.split_once('='));
    all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Returns a certificate's PEM text without white space. Two copies of a certificate are then equal, even if their
/// lines break at different places.
fn bare(certificate: &str) -> String {
    certificate.split_whitespace().collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    fn certificate(letters: &str) -> String {
        format!("-----BEGIN CERTIFICATE-----\n{letters}\n-----END CERTIFICATE-----\n")
    }

    fn at(root: &Path, variables: &[(&str, &str)]) -> Container {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let root = open(root, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).expect("a folder");
        Container { root: Some(root), work: "/app".to_owned(), variables }
    }

    #[test]
    fn the_stores_of_another_root_are_read_in_their_order() {
        let root = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, text).expect("written");
        };
        let (a, b, c) = (certificate("AAAA"), certificate("BBBB"), certificate("CCCC"));
        let key = "-----BEGIN PRIVATE KEY-----\nKKKK\n-----END PRIVATE KEY-----\n";
        write("etc/ssl/certs/ca-certificates.crt", &format!("# a comment\n{a}"));
        write("etc/ssl/certs/again.pem", &a.replace('\n', "\r\n"));
        write("etc/ssl/certs/mounted.pem", &format!("{key}{b}"));
        write("data/own.pem", &format!("{c}{key}"));
        write("app/empty.pem", "hello");
        // A symbolic link with an absolute path must be followed inside the root folder of the application's container.
        symlink("/data/own.pem", root.path().join("app/linked.pem")).expect("linked");
        write("etc/hosts", "10.0.0.1 a");
        let container = at(
            root.path(),
            &[
                ("SSL_CERT_FILE", "linked.pem"),
                ("AWS_CA_BUNDLE", "/none"),
                ("NODE_EXTRA_CA_CERTS", "empty.pem"),
                ("REQUESTS_CA_BUNDLE", ""),
            ],
        );
        let settings = container.settings();
        let (resolv, hosts) = (settings.resolv_conf, settings.hosts.as_deref());
        assert_eq!((resolv, hosts), (None, Some("10.0.0.1 a")));
        let told: Vec<_> = settings.stores.iter().map(|it| (it.named_by, it.certificates.clone())).collect();
        let none = "No such file or directory (os error 2)".to_owned();
        assert_eq!(
            told,
            [
                (NamedBy::AwsCaBundle, Err(none)),
                (NamedBy::SslCertFile, Ok(c)),
                (NamedBy::NodeExtraCaCerts, Err("it has no certificate (PEM)".to_owned())),
                (NamedBy::System, Ok(a)),
                (NamedBy::Folder, Ok(b)),
            ]
        );
        assert!(!serde_json::to_string(&settings.stores).expect("JSON").contains("KKKK"), "a key leaves the container");
        let empty = tempfile::tempdir().expect("a folder");
        let stores = at(empty.path(), &[]).stores();
        assert!(stores.len() == 1 && stores[0].certificates.is_err(), "{stores:?}");
    }

    #[test]
    fn a_store_above_the_limit_is_named_and_not_cut() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = root.path().join("etc/ssl/certs");
        std::fs::create_dir_all(&folder).expect("made");
        let limit = usize::try_from(LIMIT_BYTES).expect("small");
        let large = certificate("A").repeat(limit / certificate("A").len() + 1);
        std::fs::write(folder.join("ca-certificates.crt"), &large).expect("written");
        let told = |stores: Vec<TrustStore>| -> Vec<_> {
            stores.into_iter().map(|it| (it.named_by, it.certificates.map(|it| it.len()))).collect()
        };
        let too_large = || Err(TOO_LARGE.to_owned());
        assert_eq!(
            told(at(root.path(), &[("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")]).stores()),
            [(NamedBy::SslCertFile, too_large()), (NamedBy::System, too_large()), (NamedBy::Folder, too_large())]
        );
        // The size limit applies to the sum of all files in a folder, even if each file is small.
        let half = |letter: &str| certificate(&letter.repeat(limit / 2));
        std::fs::write(folder.join("ca-certificates.crt"), certificate("A")).expect("written");
        std::fs::write(folder.join("b.pem"), half("B")).expect("written");
        let system = (NamedBy::System, Ok(certificate("A").len()));
        assert_eq!(told(at(root.path(), &[]).stores()), [system.clone(), (NamedBy::Folder, Ok(half("B").len()))]);
        std::fs::write(folder.join("c.pem"), half("C")).expect("written");
        assert_eq!(told(at(root.path(), &[]).stores()), [system, (NamedBy::Folder, too_large())]);
    }

    #[test]
    fn the_environment_of_another_process_is_read() {
        let read = variables(b"A=1\0B=x=y\0C\0D=\xff\0");
        assert_eq!(read, BTreeMap::from([("A".to_owned(), "1".to_owned()), ("B".to_owned(), "x=y".to_owned())]));
        let own = look(Some(std::process::id())).expect("the own process");
        assert_eq!(own, look(None).expect("the same"), "a process is read from outside as from inside");
        assert!(own.program_bytes > 0);
    }
}
