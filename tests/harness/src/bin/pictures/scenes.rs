//! What happens in each picture.

use std::time::Duration;

use rolecall_harness::Role;

use crate::world::{ACCOUNT, DEVELOPERS, LIMIT, PARTNER_RO, PROD, World};

/// Two contexts of other plugins are converted, and one with a client certificate stays.
pub(crate) fn import() -> World {
    let mut world = World::new();
    let kubeconfig = include_str!("kubeconfig.yaml")
        .replace("PROD_SERVER", &world.prod.url())
        .replace("PROD_CA", &world.prod.ca_base64())
        .replace("EDGE_SERVER", &world.staging.url())
        .replace("EDGE_CA", &world.staging.ca_base64())
        .replace("DEVELOPERS", DEVELOPERS)
        .replace("PARTNER_RO", PARTNER_RO);
    world.sandbox.write("home/.kube/config", &kubeconfig);
    world.run("rolecall import", 0, |terminal| {
        terminal.wait_for("[Y/n] ", LIMIT);
        terminal.type_text("y\r");
    });
    world
}

/// The list of contexts, and a switch by name.
pub(crate) fn switch() -> World {
    let mut world = World::with_profiles();
    world.run_until("rolecall use", |screen| screen.contains("staging") && screen.contains("Esc leaves"));
    world.run("rolecall use staging --namespace web", 0, |_| ());
    world.run("rolecall use -", 0, |_| ());
    world
}

/// Sessions of 15, 5 and 2 minutes, and a source that needs a login. The daemon chooses the time of each renewal at random,
/// so the picture has a time in the middle of the possible ones.
pub(crate) fn status() -> World {
    let mut world = World::with_profiles();
    for (name, minutes) in [("audit", 10), ("prod", 3), ("staging", 2)] {
        world.prepare(&["refresh", name]);
        world.advance(Duration::from_mins(minutes));
    }
    world.run("rolecall status", 0, |_| ());
    world.replace("left  in ", " min", &["14", "24", "27"]);
    world
}

/// A role that the cluster does not map.
pub(crate) fn doctor() -> World {
    let mut world = World::with_profiles();
    world.run("rolecall doctor audit", 1, |_| ());
    world.replace("process ", ")", &["4711"]);
    world.replace("token of ", " of ", &["1,511"]);
    world
}

/// Access entries, and an aws-auth with a mistake.
pub(crate) fn access() -> World {
    let mut world = World::with_profiles();
    let (name, region) = PROD;
    let arn = |principal: &str| format!("arn:aws:iam::{ACCOUNT}:{principal}");
    world.aws.add_user(ACCOUNT, "alice");
    for role in ["role/admins", "role/deploy", "role/ops/oncall"] {
        world.aws.add_role(Role::new(&arn(role)));
    }
    for (principal, policy, namespaces) in
        [("user/alice", "AmazonEKSViewPolicy", &["web"][..]), ("role/admins", "AmazonEKSClusterAdminPolicy", &[])]
    {
        let principal = arn(principal);
        world.aws.grant(name, region, &principal, &principal, &[]);
        world.aws.grant_policy(name, region, &principal, policy, namespaces);
    }
    world.aws.set_authentication_mode(name, region, "API_AND_CONFIG_MAP");
    let roles = format!(
        "- rolearn: {}\n  username: deployer\n  groups: [deployers]\n- rolearn: {}\n  username: oncall\n  groups: [view]\n",
        arn("role/deploy"),
        arn("role/ops/oncall"),
    );
    world.prod.set_aws_auth(&[("mapRoles", &roles)]);
    world.run("rolecall access list prod", 0, |_| ());
    world
}

/// A login to IAM Identity Center, confirmed in a browser.
pub(crate) fn login() -> World {
    let mut world = World::with_profiles();
    let center = world.center.clone();
    world.run("rolecall login partner", 0, |terminal| {
        terminal.wait_screen(LIMIT, |screen| screen.contains("waiting for the browser, "));
        center.approve(&center.pending_user_codes()[0]);
    });
    world.replace("the code ", " there", &["WDDD-HJKL"]);
    world.replace("  http", "\r\n", &["s://example.awsapps.com/start/#/device?user_code=WDDD-HJKL"]);
    world
}
