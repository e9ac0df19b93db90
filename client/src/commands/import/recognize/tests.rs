use rolecall_protocol::location;

use super::*;

/// Reads a line of a shell, whose first words may be `NAME=VALUE` for the variables of the entry.
fn recognized(line: &str) -> Recognized {
    let words = shlex::split(line).unwrap();
    let is_variable = |word: &&String| word.contains('=') && !word.starts_with('-') && !word.contains(' ');
    let count = words.iter().take_while(is_variable).count();
    let (env, command) = words.split_at(count);
    let env =
        env.iter().filter_map(|word| word.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned()));
    recognize(&ExecCommand { command: command[0].clone(), args: command[1..].to_vec(), env: env.collect() })
}

/// `cluster region role profile external-id session-name flags`, without what is not set.
fn summary(line: &str) -> String {
    match recognized(line) {
        Recognized::Eks(meaning) => {
            let Meaning { cluster, is_cluster_id, region, role_arn, external_id, session_name, aws_profile, .. } =
                *meaning;
            let named =
                |key: &str, value: Option<String>| value.map(|value| format!(" {key}={value}")).unwrap_or_default();
            let flag = |key: &str, is_set: bool| if is_set { format!(" {key}") } else { String::new() };
            cluster
                + &named("region", region)
                + &named("role", role_arn)
                + &named("profile", aws_profile)
                + &named("external", external_id)
                + &named("session", session_name)
                + &flag("id", is_cluster_id)
                + &flag("fips", meaning.fips)
                + &flag("dual", meaning.dual_stack)
        }
        Recognized::Refused { why, .. } => format!("refused: {why}"),
        Recognized::Other => "other".to_owned(),
    }
}

#[track_caller]
fn check(cases: &[(&str, &str)]) {
    for (line, expected) in cases {
        assert_eq!(summary(line), *expected, "{line}");
    }
}

#[test]
fn aws_cli_every_spelling_is_recognized() {
    check(&[
        ("aws eks get-token --cluster-name prod", "prod"),
        ("aws eks get-token --cluster-name=prod --region=eu-west-1", "prod region=eu-west-1"),
        ("aws --region eu-west-1 eks get-token --cluster-name prod", "prod region=eu-west-1"),
        ("aws --region r --profile p eks get-token --cluster-name prod", "prod region=r profile=p"),
        ("/usr/local/bin/aws eks get-token --cluster-name prod --output json", "prod"),
        (r"'C:\Program Files\Amazon\AWSCLIV2\aws.exe' eks get-token --cluster-name prod", "prod"),
        ("aws eks get-token --cluster-name prod --role-arn arn:r", "prod role=arn:r"),
        ("aws eks get-token --cluster-name prod --role arn:r", "prod role=arn:r"),
        ("aws eks get-token --cluster-n prod --rol=arn:r", "prod role=arn:r"),
        ("aws eks get-token --cluster-id 1b2c --region eu-west-1", "1b2c region=eu-west-1 id"),
        ("aws eks get-token --cluster prod", "refused: Rolecall does not know its option --cluster"),
        ("AWS_PROFILE=work aws eks get-token --cluster-name prod", "prod profile=work"),
        ("AWS_PROFILE=work aws eks get-token --cluster-name prod --profile other", "prod profile=other"),
        ("AWS_DEFAULT_PROFILE=work aws eks get-token --cluster-name prod", "prod profile=work"),
        ("AWS_REGION=a AWS_DEFAULT_REGION=b aws eks get-token --cluster-name prod", "prod region=a"),
        ("AWS_DEFAULT_REGION=b AWS_REGION=a aws eks get-token --cluster-name prod", "prod region=a"),
        ("AWS_REGION=a aws eks get-token --cluster-name prod --region c", "prod region=c"),
        (
            "AWS_STS_REGIONAL_ENDPOINTS=regional aws eks get-token --output json --cluster-name prod --region r",
            "prod region=r",
        ),
        (
            "AWS_USE_FIPS_ENDPOINT=true AWS_USE_DUALSTACK_ENDPOINT=TRUE aws eks get-token --cluster-name prod",
            "prod fips dual",
        ),
        ("DEFAULT_ROLE=arn:r aws eks get-token --cluster-name prod", "prod"),
        ("aws --no-cli-pager --debug eks get-token --cluster-name prod", "prod"),
        ("aws eks get-token", "refused: it names no cluster"),
        ("aws sts get-caller-identity", "other"),
        ("aws", "other"),
    ]);
}

#[test]
fn aws_cli_options_that_change_the_token_are_refused() {
    for (options, part) in [
        ("--endpoint-url https://x", "endpoint"),
        ("--no-verify-ssl", "certificates"),
        ("--no-sign-request", "sign"),
        ("--ca-bundle x.pem", "CA bundle"),
        ("--query status.token", "--query"),
        ("--assume-role-arn arn:r", "--assume-role-arn"),
        ("--duration 3600", "--duration"),
        ("--role-arn", "no value"),
    ] {
        let found = summary(&format!("aws eks get-token --cluster-name prod {options}"));
        assert!(found.starts_with("refused: ") && found.contains(part), "{options}: {found}");
    }
}

#[test]
fn authenticator_every_spelling_is_recognized() {
    check(&[
        ("aws-iam-authenticator token -i prod", "prod"),
        ("aws-iam-authenticator token --cluster-id prod --role arn:r", "prod role=arn:r"),
        ("aws-iam-authenticator token -iprod -r=arn:r", "prod role=arn:r"),
        (
            "/opt/bin/aws-iam-authenticator token -i prod -r arn:r -s me -e secret",
            "prod role=arn:r external=secret session=me",
        ),
        (
            "aws-iam-authenticator token -i prod --forward-session-name --region eu-west-1 --cache",
            "prod region=eu-west-1 session={source_session}",
        ),
        ("aws-iam-authenticator token -i prod --forward-session-name=false", "prod"),
        ("heptio-authenticator-aws token -i prod", "prod"),
        ("DEFAULT_ROLE=arn:d AWS_PROFILE=work aws-iam-authenticator token -i prod", "prod role=arn:d profile=work"),
        ("DEFAULT_ROLE=arn:d aws-iam-authenticator token -i prod -r arn:r", "prod role=arn:r"),
        ("KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID=prod aws-iam-authenticator token", "prod"),
        ("aws-iam-authenticator token -i prod -r ''", "prod"),
        ("aws-iam-authenticator token", "refused: it names no cluster"),
        (
            "aws-iam-authenticator token -i prod --token-only",
            "refused: it prints only the token, which kubectl does not accept",
        ),
        ("aws-iam-authenticator token -i prod -x", "refused: Rolecall does not know its option -x"),
        ("aws-iam-authenticator server", "other"),
    ]);
}

#[test]
fn wrappers_give_the_aws_profile() {
    check(&[
        ("aws-vault exec work -- aws eks get-token --cluster-name prod", "prod profile=work"),
        (
            "aws-vault --backend=file exec work -d 8h --no-session -- aws eks get-token --cluster-name prod --role-arn arn:r",
            "prod role=arn:r profile=work",
        ),
        ("aws-vault exec work aws eks get-token --cluster-name prod", "prod profile=work"),
        (
            "aws-vault exec --region eu-west-1 work -- aws-iam-authenticator token -i prod",
            "prod region=eu-west-1 profile=work",
        ),
        ("AWS_PROFILE=env aws-vault exec work -- aws eks get-token --cluster-name prod", "prod profile=work"),
        ("aws-vault exec work -- aws --profile x eks get-token --cluster-name prod", "prod profile=x"),
        ("aws-vault exec work", "refused: it runs no program"),
        (
            "aws-vault exec work --mfa-token 123456 -- aws eks get-token --cluster-name p",
            "refused: it has an MFA code, which is valid once",
        ),
        ("aws-vault list", "other"),
        ("assume work --exec -- aws eks get-token --cluster-name prod", "prod profile=work"),
        ("assumego work --exec 'aws eks get-token --cluster-name prod'", "prod profile=work"),
        ("saml2aws exec -a corp -- aws eks get-token --cluster-name prod", "prod profile=corp"),
        ("saml2aws exec -a corp --exec-profile team -- aws eks get-token --cluster-name prod", "prod profile=team"),
        ("saml2aws exec -- aws eks get-token --cluster-name prod", "prod profile=saml"),
        ("kcc-cache aws eks get-token --cluster-name prod --region r", "prod region=r"),
        ("kcc-cache -- aws-iam-authenticator token -i prod", "prod"),
        ("env AWS_PROFILE=work aws eks get-token --cluster-name prod", "prod profile=work"),
        (
            "/usr/bin/env -i aws eks get-token --cluster-name prod",
            "refused: Rolecall does not know the option -i of env",
        ),
    ]);
}

#[test]
fn shells_with_one_simple_command_are_recognized() {
    check(&[
        ("bash -c 'aws eks get-token --cluster-name prod'", "prod"),
        (
            "/bin/sh -c 'AWS_PROFILE=work exec aws eks get-token --cluster-name \"prod\" --region r'",
            "prod region=r profile=work",
        ),
        ("bash -lc 'aws-vault exec work -- aws eks get-token --cluster-name prod'", "prod profile=work"),
        ("bash -c 'aws eks get-token --cluster-name $CLUSTER'", "refused: its shell does more than run one program"),
        (
            "bash -c 'source x; aws eks get-token --cluster-name prod'",
            "refused: its shell does more than run one program",
        ),
        ("bash -c 'aws eks get-token --cluster-name prod | cat'", "refused: its shell does more than run one program"),
        ("bash -c 'aws eks get-token --cluster-name \"prod'", "refused: its shell command has an open quote"),
        ("bash -c 'cat token.json'", "other"),
        ("bash script.sh", "other"),
    ]);
}

#[test]
fn other_programs_are_not_ours() {
    for line in [
        "gke-gcloud-auth-plugin",
        "kubelogin get-token --login azurecli",
        "kubectl oidc-login get-token",
        "doctl kubernetes x",
    ] {
        assert_eq!(recognized(line), Recognized::Other, "{line}");
    }
    let mut line = "env ".repeat(20);
    line.push_str("aws eks get-token --cluster-name prod");
    assert!(summary(&line).contains("too many programs"));
}

#[test]
fn secrets_in_variables_are_refused_and_not_printed() {
    for name in location::CREDENTIAL_VARIABLES.into_iter().chain(["MY_PASSWORD"]) {
        for line in [
            format!("{name}=hunter2 aws eks get-token --cluster-name prod"),
            format!("env {name}=hunter2 aws eks get-token --cluster-name prod"),
            format!("bash -c '{name}=hunter2 aws eks get-token --cluster-name prod'"),
        ] {
            let found = recognized(&line);
            let Recognized::Refused { why, .. } = &found else { panic!("{found:?}") };
            assert!(why.contains(name) && !format!("{found:?}").contains("hunter2"), "{found:?}");
        }
    }
    // Variables of other programs do not matter.
    assert_eq!(recognized("MY_PASSWORD=hunter2 kubectl oidc-login get-token"), Recognized::Other);
}

#[test]
fn today_names_the_programs() {
    for (line, expected) in [
        ("aws eks get-token --cluster-name prod", "aws eks get-token"),
        ("aws eks get-token --cluster-name prod --role arn:r", "aws eks get-token --role-arn …"),
        ("aws-vault exec work -- aws eks get-token --cluster-name prod", "aws-vault exec -- aws eks get-token"),
        ("aws-iam-authenticator token -i prod", "aws-iam-authenticator token"),
        ("aws eks get-token --cluster-name prod --query x", "aws eks get-token"),
    ] {
        match recognized(line) {
            Recognized::Eks(meaning) => assert_eq!(meaning.today, expected),
            Recognized::Refused { today, .. } => assert!(today.starts_with(expected), "{today}"),
            Recognized::Other => panic!("{line}"),
        }
    }
}
