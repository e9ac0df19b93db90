//! The AWS profiles of AWS's own files: their names and regions, for completion and for questions.

use std::io::Read as _;
use std::path::Path;

use rolecall_protocol::{Region, aws_config, location};

/// The size limit of one of AWS's files, in bytes.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// Returns the names of the AWS profiles; none if the AWS CLI refuses a file.
pub(crate) fn names() -> Vec<String> {
    let Ok((config, credentials)) = location::aws_files() else { return Vec::new() };
    let [config, credentials] = [config, credentials].map(|path| read(&path).unwrap_or_default());
    aws_config::profile_names(&config, &credentials).unwrap_or_default()
}

/// Returns the region of an AWS profile, if it is set and valid.
pub(crate) fn region(profile: &str) -> Option<Region> {
    let (config, credentials) = location::aws_files().ok()?;
    let [config, credentials] = [config, credentials].map(|path| read(&path).unwrap_or_default());
    let setting = aws_config::profile_setting(&config, &credentials, profile, "region").ok()??;
    setting.parse().ok()
}

fn read(path: &Path) -> Option<String> {
    // A pipe could block.
    path.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let mut text = String::new();
    std::fs::File::open(path).ok()?.take(MAX_FILE_BYTES).read_to_string(&mut text).ok()?;
    Some(text)
}
