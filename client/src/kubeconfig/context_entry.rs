//! Builds a profile's kubeconfig entry: its server, its files, and the program that kubectl runs.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rolecall_protocol::{EntryKey, ProfileName, Secret, location};
use rolecall_trusted_file::shell_quoted;
use sha2::{Digest, Sha256};

use crate::environment::Environment;
use crate::error::CliError;
use crate::kubeconfig::{Entry, Files, Note};
use crate::output;

/// What kubectl prints if the program in the entry does not exist.
const INSTALL_HINT: &str = "This context gets its credentials from rolecall, the ssh-agent for Amazon EKS, which is not where the \
                            kubeconfig says.\nInstall it, then run: rolecall kubeconfig --all";
/// The size limit of a certificate authority file, in bytes.
const MAX_CA_BYTES: u64 = 1024 * 1024;

/// The API server of a cluster, and the CA that identifies it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    /// The URL of the API server.
    pub(crate) url: String,
    /// The CA bundle: PEM in base64.
    pub(crate) ca_data: String,
    /// SHA-256 of the bundle, in hex.
    pub(crate) ca_sha256: String,
}

impl From<&rolecall_protocol::Cluster> for Server {
    fn from(cluster: &rolecall_protocol::Cluster) -> Self {
        Self {
            url: cluster.server.clone(),
            ca_data: cluster.certificate_authority_data.clone(),
            ca_sha256: cluster.ca_sha256.clone(),
        }
    }
}

impl Server {
    /// Creates a server from a URL and a file with its CA bundle in PEM, as the user gives them to `rolecall add`.
    ///
    /// # Errors
    /// If the file cannot be read or has no PEM certificate.
    pub(crate) fn from_file(url: &str, path: &Path) -> Result<Self, CliError> {
        use std::io::Read;
        let mut pem = Vec::new();
        let read = std::fs::File::open(path).and_then(|file| file.take(MAX_CA_BYTES + 1).read_to_end(&mut pem));
        if let Err(error) = read {
            return Err(CliError::failed(
                format!("cannot read the certificate authority {}: {error}", path.display()),
                "Name a file in PEM with --certificate-authority",
            ));
        }
        let text = std::str::from_utf8(&pem).unwrap_or_default();
        if pem.len() as u64 > MAX_CA_BYTES || !text.contains("-----BEGIN CERTIFICATE-----") {
            return Err(CliError::failed(
                format!("{} is not a certificate authority in PEM", path.display()),
                "It has to begin with -----BEGIN CERTIFICATE-----",
            ));
        }
        Ok(Self { url: url.to_owned(), ca_data: STANDARD.encode(&pem), ca_sha256: hex(&Sha256::digest(&pem)) })
    }
}

impl Server {
    /// Creates a server from a URL and a CA bundle as in a kubeconfig; `None` if the bundle is not base64.
    pub(crate) fn from_data(url: &str, ca_data: &str) -> Option<Self> {
        let ca_sha256 = hex(&Sha256::digest(STANDARD.decode(ca_data).ok()?));
        Some(Self { url: url.to_owned(), ca_data: ca_data.to_owned(), ca_sha256 })
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Returns the named kubeconfig file, or else the files that kubectl uses.
pub(crate) fn files(named: Option<&Path>) -> Result<Files, CliError> {
    let files = match named {
        Some(path) => Files::one(path),
        None => match location::kubeconfig() {
            Some(list) => Files::from_env(Some(&list), None),
            None => Files::from_env(None, Some(&location::home()?)),
        },
    };
    let files = files?;
    output::print_detail(|| {
        let paths: Vec<_> = files.paths().iter().map(|path| path.display().to_string()).collect();
        format!("kubeconfig {}", paths.join(", "))
    });
    Ok(files)
}

/// Creates an entry key from random bytes of the operating system.
pub(crate) fn new_entry_key() -> Result<EntryKey, CliError> {
    let mut bytes = Secret::new([0; 32]);
    match getrandom::fill(bytes.expose_mut()) {
        Ok(()) => Ok(EntryKey::new(bytes)),
        Err(error) => Err(CliError::failed(
            format!("cannot create an entry key: the system has no random bytes ({error})"),
            "Run the command again",
        )),
    }
}

/// Returns the kubeconfig entry of a profile.
pub(crate) fn entry(
    name: &ProfileName,
    server: &Server,
    key: Option<EntryKey>,
    environment: &Environment,
) -> Result<Entry, CliError> {
    Ok(Entry {
        profile: name.to_string(),
        server: server.url.clone(),
        certificate_authority_data: server.ca_data.clone(),
        command: own_program(environment)?,
        install_hint: INSTALL_HINT.to_owned(),
        env: environment.for_kubeconfig(),
        key,
    })
}

/// Returns the path of `rolecall` for another program to run. If a symbolic link on `PATH` leads to it, it returns the link,
/// since an upgrade by a version manager changes the target and keeps the link.
pub(crate) fn own_program(environment: &Environment) -> Result<PathBuf, CliError> {
    let own = std::env::current_exe().and_then(|path| path.canonicalize()).map_err(|error| {
        CliError::failed(
            format!("cannot tell where rolecall itself is: {error}"),
            "It may have been replaced while it ran: run the same command again",
        )
    })?;
    let on_path = environment.find_program("rolecall");
    Ok(on_path.filter(|path| path.canonicalize().is_ok_and(|found| found == own)).unwrap_or(own))
}

/// Returns ` --kubeconfig FILE` for a command in a hint, or nothing if the user named no file.
pub(crate) fn kubeconfig_option(named: Option<&Path>) -> String {
    named.map(|path| format!(" --kubeconfig {}", shell_quoted(path))).unwrap_or_default()
}

/// Prints the notes of an edit.
pub(crate) fn print_notes(notes: &[Note]) {
    for note in notes {
        output::print_note(&note.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_from_file_encodes_ca_as_eks_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nQQ==\n-----END CERTIFICATE-----\n").unwrap();
        let server = Server::from_file("https://x", &path).unwrap();
        assert!(server.ca_data.starts_with("LS0tLS1CRUdJTi"));
        assert_eq!(server.ca_sha256.len(), 64);
        std::fs::write(&path, "hello").unwrap();
        assert!(Server::from_file("https://x", &path).unwrap_err().to_string().contains("not a certificate authority"));
        assert!(
            Server::from_file("https://x", &folder.path().join("no")).unwrap_err().to_string().contains("cannot read")
        );
        assert_eq!(hex(&[0, 255, 16]), "00ff10");
    }

    #[test]
    fn kubeconfig_option_is_quoted_for_the_shell() {
        assert_eq!(kubeconfig_option(None), "");
        assert_eq!(kubeconfig_option(Some(Path::new("/etc/kube.yaml"))), " --kubeconfig /etc/kube.yaml");
    }
}
