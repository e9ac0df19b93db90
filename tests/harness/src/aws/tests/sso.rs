//! IAM Identity Center rejects what the real one rejects.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::Response;
use super::*;
use crate::clock::Clock;

const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const REDIRECT: &str = "http://127.0.0.1:9/oauth/callback";

fn center() -> Aws {
    let aws = Aws::start(Clock::manual(std::time::UNIX_EPOCH + Duration::from_secs(1_767_323_045)));
    aws.sso().assign("dev", ACCOUNT, "developers");
    aws
}

fn post(aws: &Aws, path: &str, body: &Value) -> Response {
    let headers = [("host".to_owned(), aws.addr().to_string()), ("content-type".into(), "application/json".into())];
    http(aws.addr(), "POST", path, &headers, &body.to_string()).unwrap()
}

/// Registers a client; returns its id and secret in the form of every call.
fn client(aws: &Aws, grants: &[&str]) -> Value {
    let authorize = json!({
        "clientName": "test", "clientType": "public", "scopes": ["sso:account:access"], "grantTypes": grants,
        "redirectUris": ["http://127.0.0.1/oauth/callback"], "issuerUrl": aws.sso().start_url(),
    });
    let response = post(aws, "/client/register", &authorize).json();
    json!({ "clientId": response["clientId"], "clientSecret": response["clientSecret"] })
}

fn with(client: &Value, more: &Value) -> Value {
    let mut body = client.clone();
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn device(aws: &Aws, client: &Value) -> Value {
    post(aws, "/device_authorization", &with(client, &json!({ "startUrl": aws.sso().start_url() }))).json()
}

fn poll(aws: &Aws, client: &Value, device: &Value) -> Response {
    post(aws, "/token", &with(client, &json!({ "grantType": DEVICE, "deviceCode": device["deviceCode"] })))
}

fn error(response: &Response) -> String {
    format!("{} {}", response.status, response.json()["error"].as_str().unwrap_or_default())
}

fn credentials(aws: &Aws, token: &Value, role: &str) -> Response {
    let token = token["accessToken"].as_str().unwrap().to_owned();
    let headers = [("host".to_owned(), "x".to_owned()), ("x-amz-sso_bearer_token".to_owned(), token)];
    let target = format!("/federation/credentials?account_id={ACCOUNT}&role_name={role}");
    http(aws.addr(), "GET", &target, &headers, "").unwrap()
}

#[test]
fn device_code_valid_once_and_polls_paced() {
    let aws = center();
    let client = client(&aws, &[DEVICE, "refresh_token"]);
    aws.sso().interval(Duration::from_hours(1));
    let waiting = device(&aws, &client);
    assert_eq!(error(&poll(&aws, &client, &waiting)), "400 authorization_pending");
    assert_eq!(error(&poll(&aws, &client, &waiting)), "400 slow_down");
    aws.sso().interval(Duration::ZERO);
    aws.sso().approve(waiting["userCode"].as_str().unwrap());
    let token = poll(&aws, &client, &waiting).json();
    assert!(token["refreshToken"].is_string());
    assert_eq!(error(&poll(&aws, &client, &waiting)), "400 invalid_grant");
    let late = device(&aws, &client);
    aws.clock().advance(Duration::from_mins(10));
    assert_eq!(error(&poll(&aws, &client, &late)), "400 expired_token");
    let denied = device(&aws, &client);
    aws.sso().deny(denied["userCode"].as_str().unwrap());
    assert_eq!(error(&poll(&aws, &client, &denied)), "400 access_denied");
    let wrong_secret = with(&client, &json!({ "clientSecret": "wrong" }));
    assert_eq!(error(&poll(&aws, &wrong_secret, &waiting)), "401 invalid_client");
    let other_start_url = with(&client, &json!({ "startUrl": "https://other.awsapps.com/start" }));
    assert_eq!(error(&post(&aws, "/device_authorization", &other_start_url)), "400 invalid_request");
}

#[test]
fn code_needs_verifier_and_redirect_valid_once() {
    let aws = center();
    aws.sso().approve_all();
    let client = client(&aws, &["authorization_code"]);
    let id = client["clientId"].as_str().unwrap();
    let authorize = |redirect: &str| {
        let target = format!(
            "/authorize?response_type=code&client_id={id}&redirect_uri={redirect}&state=s&code_challenge_method=S256\
             &scopes=sso%3Aaccount%3Aaccess&code_challenge={CHALLENGE}"
        );
        http(aws.addr(), "GET", &target, &[("host".to_owned(), "x".to_owned())], "").unwrap()
    };
    let code = || {
        let response = authorize(REDIRECT);
        // `head` is in lower case, the code is not.
        assert!(
            response.head.contains(&format!("\r\nlocation: {REDIRECT}?code=")) && response.head.contains("&state=s"),
            "{response:?}"
        );
        aws.sso().code().unwrap()
    };
    assert_eq!(authorize("http://evil.example/oauth/callback").status, 400);
    let redeem = |code: &str, verifier: &str, redirect: &str| {
        let grant = json!({ "grantType": "authorization_code", "code": code, "codeVerifier": verifier, "redirectUri": redirect });
        post(&aws, "/token", &with(&client, &grant))
    };
    assert_eq!(error(&redeem(&code(), &VERIFIER.replace('d', "e"), REDIRECT)), "400 invalid_grant");
    assert_eq!(error(&redeem(&code(), VERIFIER, "http://127.0.0.1:10/oauth/callback")), "400 invalid_grant");
    let valid = code();
    let token = redeem(&valid, VERIFIER, REDIRECT).json();
    assert!(
        token["accessToken"].is_string() && token["refreshToken"].is_null(),
        "the client did not register for refresh tokens"
    );
    assert_eq!(error(&redeem(&valid, VERIFIER, REDIRECT)), "400 invalid_grant");
    let grant = json!({ "grantType": "refresh_token", "refreshToken": "x" });
    assert_eq!(error(&post(&aws, "/token", &with(&client, &grant))), "400 unauthorized_client");
}

#[test]
fn refresh_token_valid_once_until_login_ends() {
    let aws = center();
    aws.sso().approve_all();
    let client = client(&aws, &[DEVICE, "refresh_token"]);
    let refresh = |token: &Value| {
        let grant = json!({ "grantType": "refresh_token", "refreshToken": token["refreshToken"] });
        post(&aws, "/token", &with(&client, &grant))
    };
    let first = poll(&aws, &client, &device(&aws, &client)).json();
    let second = refresh(&first).json();
    assert_eq!(error(&refresh(&first)), "400 invalid_grant");
    aws.clock().advance(Duration::from_mins(59));
    assert_eq!(credentials(&aws, &second, "developers").status, 200);
    assert_eq!(credentials(&aws, &second, "admins").status, 403);
    aws.clock().advance(Duration::from_mins(1));
    assert_eq!(credentials(&aws, &second, "developers").status, 401);
    let third = refresh(&second).json();
    let key = credentials(&aws, &third, "developers").json()["roleCredentials"].clone();
    let text = |name: &str| key[name].as_str().unwrap().to_owned();
    let key = AccessKey {
        id: text("accessKeyId"),
        secret: text("secretAccessKey"),
        arn: Sso::session_arn("dev", ACCOUNT, "developers"),
        session_token: Some(text("sessionToken")),
    };
    assert_eq!(sts(&aws, &key, "GetCallerIdentity", "").unwrap().element("Arn"), key.arn);
    aws.clock().advance(Duration::from_hours(7));
    assert_eq!(error(&refresh(&third)), "400 invalid_grant");
    let headers = [("host".to_owned(), "x".to_owned()), ("x-amz-sso_bearer_token".to_owned(), "x".to_owned())];
    assert_eq!(http(aws.addr(), "POST", "/logout", &headers, "").unwrap().status, 401);
}
