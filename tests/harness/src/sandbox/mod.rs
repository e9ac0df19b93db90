//! A private environment to run programs in: own HOME and XDG folders, a cleared environment, and no process or file
//! that outlives it.

mod aws_files;
mod aws_profile;
mod aws_profile_files;
mod daemon;
mod entry_key;
mod environment;
mod faketime;
mod leftovers;
mod logind;
mod network;
mod notifications;
mod output;
mod process;
mod programs;
mod proxy;
mod relay;
mod sampler;
mod secret_scan;
mod session_bus;
mod signals;
mod terminal;
mod test_limit;

pub use aws_profile::AwsProfile;
pub use daemon::Daemon;
pub use entry_key::with_entry_keys;
pub use environment::Sandbox;
pub use faketime::FakeTime;
pub use logind::Logind;
pub use network::Network;
pub use notifications::Notifications;
pub use output::{Output, within};
pub use proxy::Proxy;
pub use relay::TcpRelay;
pub use session_bus::SessionBus;
pub use terminal::Terminal;

pub(crate) use leftovers::listener_of;

#[cfg(test)]
mod peer_tests;
#[cfg(test)]
mod tests;
