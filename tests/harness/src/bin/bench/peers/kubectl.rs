//! `kubectl get pods` with a plugin, against one with a static token.

use std::time::Duration;

use super::contender::Contender;
use super::process::succeed;
use super::programs::Program;
use super::world::{CLUSTER, StsCalls, World};

/// The runs of kubectl with one program.
pub(super) struct Runs {
    pub(super) with_plugin: Vec<Duration>,
    pub(super) with_static_token: Vec<Duration>,
    pub(super) calls: StsCalls,
}

/// Runs kubectl alternately with the plugin and with a static token, the floor, `rounds` times each. The program and kubectl have
/// warm caches. The API server has not seen a token yet.
pub(super) fn alternate(kubectl: &Program, contender: &Contender, world: &World, rounds: u32) -> Runs {
    contender.write_kubeconfig(world);
    let floor = contender.sandbox.write("home/static.yaml", &world.api.kubeconfig(&world.static_token()));
    let mut with_plugin = contender.in_environment(&kubectl.path);
    with_plugin.args(["get", "pods", "--context", CLUSTER]);
    let mut with_static_token = contender.in_environment(&kubectl.path);
    with_static_token.args(["get", "pods", "--kubeconfig"]).arg(floor);
    for command in [&mut with_plugin, &mut with_static_token] {
        contender.sandbox.run(command).assert_ok();
    }
    world.api.clear_token_cache();
    let mut runs = Runs { with_plugin: Vec::new(), with_static_token: Vec::new(), calls: StsCalls::default() };
    for _ in 0..rounds {
        runs.with_static_token.push(succeed(&mut with_static_token));
        let before = world.sts_calls();
        runs.with_plugin.push(succeed(&mut with_plugin));
        runs.calls.add(world.sts_calls().since(before));
    }
    runs
}
