//! `rolecall doctor`: finds what keeps kubectl from a cluster, and says for each finding what it means and who fixes it.
//!
//! A check of this computer is a function in `doctor/` from [`Facts`] to findings. The daemon makes the checks behind it.

mod agent;
mod agent_process;
mod audit;
mod checked;
mod configuration;
mod diagnosis;
mod facts;
mod files;
mod installation;
mod keyring;
mod kubeconfig;
mod lock;
mod profiles;
mod render;
mod repair;
mod report;
mod request;
mod socket;

use rolecall_protocol::{AccessQuery, Finding, FindingArea, FindingState, ProfileName, similar_names};

use crate::cli;
use crate::context::Context;
use crate::daemon::config_status::no_profiles_error;
use crate::error::CliError;
use crate::kubeconfig::context_entry;
use crate::output;
use checked::{Checked, Repair};
use diagnosis::{Subject, TooOld};
use facts::Facts;
use render::View;
use report::{ProfileReport, Report};

type Check = fn(&Facts) -> Vec<Checked>;

/// What `--security` checks, in the order in which it is printed.
const SECURITY_CHECKS: [Check; 9] = [
    socket::check,
    agent::process,
    agent_process::check,
    files::check,
    kubeconfig::files,
    profiles::check,
    keyring::check,
    lock::check,
    audit::check,
];

/// Whether kubectl reaches the agent, and the agent its configuration.
const CHECKS: [Check; 9] = [
    installation::check,
    socket::check,
    agent::process,
    agent::version,
    agent::locked,
    configuration::check,
    kubeconfig::files,
    kubeconfig::entries,
    profiles::check,
];

/// Checks of security that the text reports only if they find a problem; `--security` prints their warnings.
const QUIET_CHECKS: [Check; 5] = [agent_process::check, files::check, keyring::check, lock::check, audit::check];

/// How often `--fix` looks for further changes: a new agent may show what was unknown before.
const MAX_REPAIR_ROUNDS: usize = 3;

/// Runs the command.
pub(crate) fn run(wanted: &cli::Doctor, context: &Context) -> Result<(), CliError> {
    let view = View { screen: context.screen.widened(wanted.output.is_wide()), is_verbose: output::is_verbose() };
    if wanted.security {
        return security(wanted, view, context);
    }
    let mut facts = Facts::gather(context);
    check_known(&wanted.names, &facts)?;
    let fixed = if wanted.fix { Some(fix(&mut facts, wanted, context)?) } else { None };
    let report = Report { fixed, ..examine(&facts, wanted, context)? };
    match (wanted.for_admin, wanted.output.data()) {
        (true, Some(format)) => output::print_data(format, &request::data(&report, &facts))?,
        (true, None) => print_requests(&report, &facts)?,
        (false, Some(format)) => output::print_data(format, &report)?,
        (false, None) => output::print(&view.report(&report))?,
    }
    let is_config_valid = facts.agent.as_ref().is_ok_and(|agent| agent.status.config.problem.is_none());
    if report.profiles.is_empty() && is_config_valid && wanted.output.data().is_none() {
        output::print_note(&no_profiles_error().to_string());
    }
    match facts.agent.as_ref().err().map_or_else(|| report.exit_code(), |unreachable| unreachable.error.code()) {
        0 => Ok(()),
        code => Err(CliError::silent(code)),
    }
}

/// Checks how this computer protects Rolecall.
fn security(wanted: &cli::Doctor, view: View, context: &Context) -> Result<(), CliError> {
    let facts = Facts::gather(context);
    let checked = SECURITY_CHECKS.iter().flat_map(|check| check(&facts));
    let findings: Vec<Finding> = checked.map(|checked| checked.finding).collect();
    match wanted.output.data() {
        Some(format) => output::print_data(format, &findings)?,
        None => output::print(&view.all(&findings))?,
    }
    let report = Report { computer: findings, ..Report::default() };
    match report.exit_code() {
        0 => Ok(()),
        code => Err(CliError::silent(code)),
    }
}

/// Errors if a profile does not exist. Without agent and configuration, no name is known.
fn check_known(wanted: &[ProfileName], facts: &Facts) -> Result<(), CliError> {
    let known = facts.profile_names();
    let is_known = |name: &&ProfileName| known.iter().any(|known| known == name.as_str());
    let is_readable = facts.agent.is_ok() || facts.config.is_some();
    let Some(unknown) = wanted.iter().find(|name| is_readable && !is_known(name)) else { return Ok(()) };
    let alike = similar_names(unknown.as_str(), known.iter().map(String::as_str));
    let hint = match alike.as_slice() {
        [] => "See the profiles with: rolecall list".to_owned(),
        alike => format!("Did you mean {}?", alike.join(" or ")),
    };
    Err(CliError::failed(format!("there is no profile \"{unknown}\""), hint))
}

/// Makes the changes that are safe, reads the facts again, and returns what was done.
fn fix(facts: &mut Facts, wanted: &cli::Doctor, context: &Context) -> Result<Vec<String>, CliError> {
    let is_text = wanted.output.data().is_none();
    let (mut tried, mut fixed, mut has_failed) = (Vec::new(), Vec::new(), false);
    for _ in 0..MAX_REPAIR_ROUNDS {
        let checked = CHECKS.iter().chain(&QUIET_CHECKS).flat_map(|check| check(facts));
        let concerns = |checked: &Checked| is_selected(checked.profile.as_deref(), &wanted.names);
        let repairs: Vec<Repair> = checked.filter(concerns).filter_map(|checked| checked.repair).collect();
        let new: Vec<Repair> = repairs.into_iter().filter(|repair| !tried.contains(repair)).collect();
        if new.is_empty() {
            break;
        }
        for repair in new {
            if tried.contains(&repair) {
                continue;
            }
            match repair::apply(&repair, facts, context) {
                Ok(None) => {}
                Ok(Some(done)) => {
                    if is_text {
                        context.print_done(&done)?;
                    }
                    fixed.push(done);
                }
                Err(error) => {
                    output::print_error(&error);
                    has_failed = true;
                }
            }
            tried.push(repair);
        }
        *facts = Facts::gather(context);
    }
    if is_text {
        let is_nothing = fixed.is_empty() && !has_failed;
        let text = if is_nothing { "nothing to fix that is safe to change\n\n" } else { "\n" };
        output::print(text)?;
    }
    Ok(fixed)
}

/// Whether a finding concerns the wanted profiles. Without names, every finding does.
fn is_selected(profile: Option<&str>, wanted: &[ProfileName]) -> bool {
    wanted.is_empty() || profile.is_none_or(|profile| wanted.iter().any(|name| name.as_str() == profile))
}

/// Makes all checks.
fn examine(facts: &Facts, wanted: &cli::Doctor, context: &Context) -> Result<Report, CliError> {
    let names: Vec<String> = match wanted.names.as_slice() {
        [] => facts.profile_names(),
        names => unique(names),
    };
    let mut found: Vec<Checked> = CHECKS.iter().flat_map(|check| check(facts)).collect();
    found.retain(|checked| is_selected(checked.profile.as_deref(), &wanted.names));
    let quiet: Vec<Checked> = QUIET_CHECKS.iter().flat_map(|check| check(facts)).collect();

    let diagnosed = diagnose(facts, &names, &wanted.namespace, context)?;
    if matches!(diagnosed, Diagnosed::TooOld) {
        found.retain(|checked| checked.finding.code != "agent_version");
        found.push(agent::too_old());
    }
    let mut report = Report::default();
    let of_profile = |checked: &Checked| checked.profile.as_ref().is_some_and(|profile| names.contains(profile));
    let (of_profiles, of_computer): (Vec<Checked>, Vec<Checked>) = found.into_iter().partition(of_profile);
    let is_hidden = |checked: &Checked| !output::is_verbose() && checked.state() == FindingState::Warning;
    report.security_warnings = quiet.iter().filter(|checked| is_hidden(checked)).count();
    report.computer_briefs = of_computer.iter().filter_map(|checked| checked.brief.clone()).collect();
    let shown = of_computer.iter().chain(quiet.iter().filter(|checked| !is_hidden(checked)));
    report.computer_shown = shown.map(|checked| checked.finding.clone()).collect();
    report.computer = of_computer.into_iter().chain(quiet).map(|checked| checked.finding).collect();
    report.profiles = profile_reports(names, &of_profiles, diagnosed);
    Ok(report)
}

/// What the daemon found.
enum Diagnosed {
    /// The findings of each profile.
    Profiles(Vec<Vec<Finding>>),
    TooOld,
    /// No agent answers, or it is locked: a finding says so.
    NotPossible,
}

fn diagnose(facts: &Facts, names: &[String], namespace: &str, context: &Context) -> Result<Diagnosed, CliError> {
    let Some(agent) = facts.agent.as_ref().ok().filter(|agent| !agent.status.daemon.lock.locked) else {
        return Ok(Diagnosed::NotPossible);
    };
    let servers = api_servers(names);
    let subject =
        |(name, server): (&String, Option<AccessQuery>)| Some(Subject::new(name.parse().ok()?, server, namespace));
    let subjects: Vec<Subject> = names.iter().zip(servers).filter_map(subject).collect();
    Ok(match diagnosis::run(&agent.daemon, &subjects, context)? {
        Ok(findings) => Diagnosed::Profiles(findings),
        Err(TooOld) => Diagnosed::TooOld,
    })
}

/// The API server in the kubeconfig entry of each profile. `None` without a complete entry.
fn api_servers(names: &[String]) -> Vec<Option<AccessQuery>> {
    let entries = context_entry::files(None).and_then(|files| Ok(crate::kubeconfig::find_all(&files, names)?));
    // The check of the kubeconfig reports the error.
    let entries = entries.unwrap_or_else(|_| names.iter().map(|_| None).collect());
    let query = |entry: crate::kubeconfig::InstalledEntry| {
        let (server, ca) = (entry.server?, entry.certificate_authority_data?);
        Some(AccessQuery { server, certificate_authority_data: ca })
    };
    entries.into_iter().map(|entry| query(entry?)).collect()
}

/// Joins what the client and the daemon found about each profile; the worst profiles first.
fn profile_reports(names: Vec<String>, found: &[Checked], diagnosed: Diagnosed) -> Vec<ProfileReport> {
    let not_checked = || {
        let cause = "not checked: see what is wrong with the agent";
        vec![Finding::not_checked(FindingArea::Source, "connection", "not_checked", cause)]
    };
    let mut of_daemon = match diagnosed {
        Diagnosed::Profiles(findings) => findings,
        Diagnosed::TooOld | Diagnosed::NotPossible => names.iter().map(|_| not_checked()).collect(),
    };
    of_daemon.resize(names.len(), Vec::new());
    let report = |(name, of_daemon): (String, Vec<Finding>)| {
        let of_client: Vec<&Checked> = found.iter().filter(|checked| checked.profile.as_ref() == Some(&name)).collect();
        let briefs = of_client.iter().filter_map(|checked| checked.brief.clone()).collect();
        // Under the name of the profile, the findings need not repeat it.
        let without_profile = |checked: &&Checked| Finding { name: "kubeconfig".to_owned(), ..checked.finding.clone() };
        // The client compares the kubeconfig with the pin too, and names the difference.
        let is_known = |found: &Finding| {
            found.code == "pin_mismatch" && of_client.iter().any(|checked| checked.finding.code == found.code)
        };
        let of_daemon = of_daemon.into_iter().filter(|found| !is_known(found));
        let findings = of_client.iter().map(without_profile).chain(of_daemon).collect();
        ProfileReport::new(name, findings, briefs)
    };
    let mut reports: Vec<ProfileReport> = names.into_iter().zip(of_daemon).map(report).collect();
    reports.sort_by_key(|report| std::cmp::Reverse(report.state));
    reports
}

fn unique(names: &[ProfileName]) -> Vec<String> {
    let mut unique: Vec<String> = Vec::new();
    for name in names {
        if !unique.iter().any(|known| known == name.as_str()) {
            unique.push(name.to_string());
        }
    }
    unique
}

fn print_requests(report: &Report, facts: &Facts) -> Result<(), CliError> {
    let text = request::text(report, facts);
    if text.is_empty() {
        output::print_note("no problem is one that an administrator has to solve. See all with: rolecall doctor");
        return Ok(());
    }
    output::print(&text)
}
