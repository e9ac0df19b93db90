use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use super::client::{Response, http, sts};
use super::{DEVELOPERS, aws};
use crate::aws::Aws;
use crate::aws::access_key::AccessKey;

const HOUR: Duration = Duration::from_hours(1);
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";

fn request(url: &str, method: &str, path: &str, header: Option<(&str, &str)>) -> Response {
    let addr: SocketAddr = url.strip_prefix("http://").unwrap().parse().unwrap();
    let mut headers = vec![("host".to_owned(), addr.to_string())];
    headers.extend(header.map(|(name, value)| (name.to_owned(), value.to_owned())));
    http(addr, method, path, &headers, "").unwrap()
}

fn caller_arn(aws: &Aws, credentials: &Value) -> String {
    let text = |name: &str| credentials[name].as_str().unwrap().to_owned();
    let key = AccessKey {
        id: text("AccessKeyId"),
        secret: text("SecretAccessKey"),
        arn: String::new(),
        session_token: Some(text("Token")),
    };
    sts(aws, &key, "GetCallerIdentity", "").unwrap().element("Arn").to_owned()
}

#[test]
fn instance_credentials_need_metadata_token() {
    let (aws, _) = aws();
    let instance = aws.instance_metadata(DEVELOPERS);
    let get =
        |path: &str, token: &str| request(&instance.url(), "GET", path, Some(("x-aws-ec2-metadata-token", token)));
    let put = |ttl: &str| {
        request(&instance.url(), "PUT", "/latest/api/token", Some(("X-aws-ec2-metadata-token-ttl-seconds", ttl)))
    };
    for ttl in ["0", "21601", "later"] {
        assert_eq!(put(ttl).status, 400, "{ttl}");
    }
    assert_eq!(request(&instance.url(), "PUT", "/latest/api/token", None).status, 400);
    assert_eq!([request(&instance.url(), "GET", ROLES, None).status, get(ROLES, "other").status], [401, 401]);
    let token = put("21600").body;
    assert_eq!((get(ROLES, &token).body.as_str(), get(&format!("{ROLES}other"), &token).status), ("developers", 404));
    assert_eq!(get("/latest/meta-data/placement/region", &token).status, 404);
    let fetch = || get(&format!("{ROLES}developers"), &token).json();
    let first = fetch();
    assert_eq!((&first["Code"], &first["Type"]), (&"Success".into(), &"AWS-HMAC".into()));
    assert!(caller_arn(&aws, &first).starts_with("arn:aws:sts::111122223333:assumed-role/developers/i-0"));
    aws.clock().advance(5 * HOUR);
    assert_eq!(fetch(), first);
    aws.clock().advance(Duration::from_mins(55));
    let second = fetch();
    assert_ne!(second["AccessKeyId"], first["AccessKeyId"], "replacements are available before the expiry");
    caller_arn(&aws, &first);
    assert_eq!(instance.fetched(), 3);
    aws.remove_role(DEVELOPERS);
    instance.set_lifetime(HOUR);
    assert_eq!(fetch()["Code"], "AssumeRoleUnauthorizedAccess");
    aws.clock().advance(Duration::from_mins(5));
    assert_eq!(get(ROLES, &token).status, 401, "the token has expired");
    assert!(aws.secrets().contains(&token));
}

#[test]
fn container_credentials_need_their_token() {
    let (aws, _) = aws();
    let container = aws.container_credentials(DEVELOPERS);
    container.set_lifetime(HOUR);
    let uri = container.uri();
    let (url, path) = uri.split_at(uri.find("/v2/").unwrap());
    let get = |path: &str, token: &str| request(url, "GET", path, Some(("authorization", token)));
    assert_eq!([get(path, "wrong").status, request(url, "GET", path, None).status], [401, 401]);
    assert_eq!(get("/v2/credentials/other", container.token()).status, 404);
    let first = get(path, container.token()).json();
    assert_eq!(first["RoleArn"], DEVELOPERS);
    assert!(caller_arn(&aws, &first).starts_with("arn:aws:sts::111122223333:assumed-role/developers/"));
    aws.clock().advance(HOUR / 2);
    assert_eq!(get(path, container.token()).json(), first);
    aws.clock().advance(HOUR * 11 / 24);
    assert_ne!(get(path, container.token()).json()["AccessKeyId"], first["AccessKeyId"]);
    assert_eq!(container.fetched(), 3);
    let url = url.to_owned();
    drop(container);
    assert!(std::net::TcpStream::connect(url.strip_prefix("http://").unwrap()).is_err());
}
