//! The Kubernetes client of Python with the plugin.

use std::fs;

use crate::fixture::Fixture;
use crate::peer;

#[test]
fn python_client_lists_pods_with_each_api_version() {
    let (Some(python), Some(fixture)) = (peer::python(), Fixture::new()) else { return };
    fixture.api.add_pod("default", "web-7d4b9");
    let path = fixture.sandbox.kubeconfig();
    let text = fs::read_to_string(&path).unwrap();
    for version in ["v1", "v1beta1"] {
        let api_version = format!("client.authentication.k8s.io/{version}\n");
        fs::write(&path, text.replace("client.authentication.k8s.io/v1\n", &api_version)).unwrap();
        let mut command = fixture.sandbox.command(python.to_str().unwrap());
        let program = peer::program(&python, "list_pods.py");
        let said = fixture.sandbox.run(command.args(program.get_args()).args(["prod", "default"]));
        said.assert_ok();
        assert!(said.stdout.lines().any(|name| name == "web-7d4b9"), "{version}: {said}");
    }
}
