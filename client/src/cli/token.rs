//! The arguments of `rolecall token`.

use clap::Args;
use rolecall_protocol::ProfileName;

/// Answer kubectl with a token (kubectl runs this)
///
/// Reads KUBERNETES_EXEC_INFO and prints an ExecCredential, as an exec credential plugin of client-go does. An
/// error is one line on standard error; standard output then stays empty.
#[derive(Debug, Args)]
#[command(after_help = "In a kubeconfig, as written by rolecall kubeconfig:
  users:
  - name: rolecall-prod
    user:
      exec:
        apiVersion: client.authentication.k8s.io/v1
        command: /usr/local/bin/rolecall
        args: [token, prod]
        env:
        - name: ROLECALL_ENTRY_KEY
          value: (the profile's entry key)
        installHint: (how to get rolecall)
        interactiveMode: IfAvailable
        provideClusterInfo: true")]
pub(crate) struct Token {
    /// The profile
    pub(crate) name: ProfileName,
}
