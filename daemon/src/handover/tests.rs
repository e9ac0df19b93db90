#[cfg(target_os = "linux")]
mod linux;

use super::*;

#[test]
fn fd_args_survive_a_round_trip() {
    for text in ["1,3,4,5", "7,12,4,2047,64768,18446744073709551615"] {
        assert_eq!(text.parse::<FdArgs>().unwrap().to_string(), text);
    }
    for text in ["", "1", "1,2,3", "1,2,3,4,5", "1,2,3,4,5,6,7", "1,-3,4,5", "a,b,c,d", "1,3,4,99999999999", "1,3,4,5 "]
    {
        assert_eq!(text.parse::<FdArgs>(), Err(InvalidFdArgs), "{text}");
    }
    // A user who types the option has no descriptors to pass.
    assert!("1,0,1,2".parse::<FdArgs>().unwrap().take().is_err());
}

#[test]
fn next_run_gets_the_same_arguments_and_one_handover() {
    let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
    let options = [HANDOVER_OPTION, "1,3,4,5", PROGRAM_OPTION, "/old"];
    let started = [&["rolecalld", "--socket", "/s"], options.as_slice(), &["--detached"]].concat();
    let program = Program::new("/bin/rolecalld".into(), words(&started).into_iter());
    assert_eq!(program.arguments, words(&["rolecalld", "--socket", "/s", "--detached"]));
    let next = program.arguments_with(&"2,6,7,8".parse().unwrap());
    let options = [HANDOVER_OPTION, "2,6,7,8", PROGRAM_OPTION, "/bin/rolecalld"];
    assert_eq!(next, words(&[&["rolecalld", "--socket", "/s", "--detached"], options.as_slice()].concat()));
}
