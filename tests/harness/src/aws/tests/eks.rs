use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::client::{assume, eks};
use super::{ACCOUNT, DEVELOPERS, aws};
use crate::aws::Cluster;

#[test]
fn describe_cluster_own_account_and_region_only() {
    let (aws, dev) = aws();
    let pem = "-----BEGIN CERTIFICATE-----\n";
    aws.add_cluster(Cluster::new("prod", "eu-west-1").endpoint("https://127.0.0.1:1").ca_pem(pem));
    aws.add_cluster(Cluster::new("far", "us-east-2"));
    aws.add_cluster(Cluster::new("new", "eu-west-1").status("CREATING").version("1.34").local_id("local-1"));
    let session = assume(&aws, &dev, DEVELOPERS, "").key();
    for key in [&dev, &session] {
        let cluster = &eks(&aws, key, "/clusters/prod").json()["cluster"];
        assert_eq!(cluster["arn"], "arn:aws:eks:eu-west-1:111122223333:cluster/prod");
        assert_eq!((&cluster["status"], &cluster["version"]), (&"ACTIVE".into(), &"1.33".into()));
        assert_eq!(cluster["endpoint"], "https://127.0.0.1:1");
        assert_eq!(cluster["certificateAuthority"]["data"], STANDARD.encode(pem));
        assert!(cluster["id"].is_null());
    }
    aws.add_cluster(Cluster::new("far", "eu-west-1").public_networks(&[]));
    let network = &eks(&aws, &dev, "/clusters/far").json()["cluster"]["resourcesVpcConfig"];
    assert_eq!(
        (&network["endpointPublicAccess"], &network["publicAccessCidrs"]),
        (&false.into(), &serde_json::json!([]))
    );
    aws.remove_cluster("far", "eu-west-1");
    let new = &eks(&aws, &dev, "/clusters/new").json()["cluster"];
    assert!(new["endpoint"].is_null() && new["certificateAuthority"].is_null() && new["id"] == "local-1");
    let stranger = aws.add_user("444455556666", "stranger");
    for (key, name) in [(&dev, "far"), (&dev, "none"), (&stranger, "prod")] {
        let response = eks(&aws, key, &format!("/clusters/{name}"));
        assert_eq!(
            (response.status, response.json()["message"].as_str()),
            (404, Some(format!("No cluster found for name: {name}.").as_str()))
        );
        assert!(response.head.contains("x-amzn-errortype: resourcenotfoundexception"), "{response:?}");
    }
}

#[test]
fn describe_cluster_denied_with_real_text() {
    let (aws, dev) = aws();
    aws.add_cluster(Cluster::new("prod", "eu-west-1"));
    aws.deny(&dev.arn, "eks:DescribeCluster");
    let response = eks(&aws, &dev, "/clusters/prod");
    assert_eq!(
        (response.status, response.json()["message"].as_str()),
        (
            403,
            Some(
                "User: arn:aws:iam::111122223333:user/dev is not \
        authorized to perform: eks:DescribeCluster on resource: arn:aws:eks:eu-west-1:111122223333:cluster/prod"
            )
        )
    );
    assert!(response.head.contains("x-amzn-errortype: accessdeniedexception"));
    aws.allow(&dev.arn, "eks:DescribeCluster");
    assert_eq!(eks(&aws, &dev, "/clusters/prod").status, 200);
    let stranger = crate::AccessKey { id: "AKIASTRANGER".to_owned(), ..dev };
    let response = eks(&aws, &stranger, "/clusters/prod");
    assert!(response.status == 403 && response.head.contains("x-amzn-errortype: unrecognizedclientexception"));
}

#[test]
fn list_clusters_paged() {
    let (aws, dev) = aws();
    for number in 0..5 {
        aws.add_cluster(Cluster::new(&format!("c{number}"), "eu-west-1").account(ACCOUNT));
    }
    let first = eks(&aws, &dev, "/clusters?maxResults=2").json();
    assert_eq!(first["clusters"], serde_json::json!(["c0", "c1"]));
    let next = first["nextToken"].as_str().unwrap();
    let rest = eks(&aws, &dev, &format!("/clusters?maxResults=100&nextToken={next}")).json();
    assert_eq!((&rest["clusters"], rest["nextToken"].is_null()), (&serde_json::json!(["c2", "c3", "c4"]), true));
    assert_eq!(eks(&aws, &dev, "/clusters").json()["clusters"].as_array().unwrap().len(), 5);
    for bad in ["/clusters?maxResults=0", "/clusters?maxResults=101", "/clusters?nextToken=x"] {
        assert_eq!(eks(&aws, &dev, bad).status, 400, "{bad}");
    }
    assert_eq!(eks(&aws, &dev, "/clusters/a/node-groups").status, 404);
}
