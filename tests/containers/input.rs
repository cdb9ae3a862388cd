//! What a container reads, wherever it comes from and however the container opens it.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dunnage_tests::binary::{run, through};
use dunnage_tests::containers::{BASES, Base, each_shim};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;

/// Ways to open standard input, as pid 1 and as its child.
const READERS: [&str; 6] = [
    "exec cat /dev/stdin",
    "cat /dev/stdin; exit $?",
    "cat /proc/self/fd/0; exit $?",
    "cat /dev/fd/0; exit $?",
    "cat <&0; exit $?",
    "exec cat",
];

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_standard_input_can_be_opened_again() {
    each_shim("privileged_standard_input_can_be_opened_again", |node| {
        for base in BASES {
            for reader in READERS {
                let program = ["/bin/sh", "-c", reader];
                for input in ["", "in\n", "no end"] {
                    let outcome = node.run(base, "again", &program, input).expect(0);
                    assert_eq!(outcome.stdout, input, "{base:?} {reader}");
                }
            }
            node.expect_nothing_left();
        }
        let file = node.scratch.path().join("input");
        fs::write(&file, "from a file\n").unwrap();
        for reader in READERS {
            for (path, expected) in [("/dev/null", ""), (file.to_str().unwrap(), "from a file\n")] {
                let mut command = node.command(Base::Plain, "file", &["/bin/sh", "-c", reader], &["--rm"]);
                let output = command.stdin(File::open(path).unwrap()).output().unwrap();
                assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{reader} {path}: {output:?}");
                assert_eq!(output.status.code(), Some(0));
            }
        }
        // Closed: what the shell says instead.
        let command = node.command(Base::Plain, "closed", &["/bin/sh", "-c", READERS[0]], &["--rm"]);
        run(&mut through("/bin/sh", ["-c", "exec \"$@\" <&-", "sh"], &command), []).expect(0);
        node.expect_nothing_left();
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_much_input_arrives_whole() {
    each_shim("privileged_much_input_arrives_whole", |node| {
        let input: Vec<u8> = (0..100_u32 << 20).map(|at| b"0123456789abcdef"[(at % 16) as usize]).collect();
        for reader in [READERS[0], READERS[2]] {
            let outcome = node.run(Base::Plain, "much", &["/bin/sh", "-c", reader], &input).expect(0);
            assert_eq!(outcome.stdout.len(), input.len());
            assert!(outcome.stdout.as_bytes() == input, "{reader}");
        }
        node.expect_nothing_left();
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_output_can_be_opened_again() {
    each_shim("privileged_output_can_be_opened_again", |node| {
        for base in BASES {
            let script = "echo a >/dev/stdout; echo b >/proc/self/fd/1; echo c >/dev/stderr; (echo d >/dev/stdout)";
            let outcome = node.run(base, "out", &["/bin/sh", "-c", script], []).expect(0);
            assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("a\nb\nd\n", "c\n"), "{base:?}");
        }
        node.expect_nothing_left();
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_piped_input_of_a_terminal_is_delivered_and_ends() {
    each_shim("privileged_piped_input_of_a_terminal_is_delivered_and_ends", |node| {
        let lines: String = (0..300).map(|number| format!("line {number} of some more input\n")).collect();
        for (script, input, expected) in [
            ("exec cat", "hello\n", "hello\r\nhello\r\n".to_owned()),
            ("cat; echo over", "no end", "over\r\n".to_owned()),
            ("cat; cat; echo over", "", "over\r\n".to_owned()),
            ("read a; read b; echo $b-$a; read c || echo end", "1\n2\n", "2-1\r\nend\r\n".to_owned()),
            ("n=0; while read line; do n=$((n+1)); done; echo $n lines", &lines, "300 lines\r\n".to_owned()),
        ] {
            for _ in 0..4 {
                let spec = node.spec(Base::Plain, "tty", &["/bin/sh", "-c", script], true);
                let outcome = run(&mut node.command_of(Base::Plain, "tty", &spec, &["--rm"]), input).expect(0);
                assert!(outcome.stdout.ends_with(&expected), "{script}: {:?}", outcome.stdout);
            }
        }
        node.expect_nothing_left();
    });
}

/// A shell with job control at a terminal of its own, which runs a script; what the terminal shows. Once
/// `awaited` is there, something is typed.
fn at_a_terminal(command: &Command, script: &str, awaited: &str, typed: &str) -> String {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&ours).expect("grantpt");
    unlockpt(&ours).expect("unlockpt");
    let path = ptsname(&ours, Vec::new()).expect("its name");
    let theirs = File::options().read(true).write(true).open(path.to_str().expect("UTF-8")).expect("the terminal");
    let words = ["--ctty", "--wait", "/bin/bash", "-m", "-c", script, "bash"];
    let mut shell = through("/usr/bin/setsid", words, command);
    let end = |file: &File| Stdio::from(file.try_clone().expect("a copy"));
    let mut child = shell.stdin(end(&theirs)).stdout(end(&theirs)).stderr(end(&theirs)).spawn().expect("start");
    drop((theirs, shell));
    let output = read_terminal(ours, awaited, typed);
    child.wait().expect("the end");
    output
}

fn read_terminal(terminal: OwnedFd, awaited: &str, typed: &str) -> String {
    rustix::io::ioctl_fionbio(&terminal, true).expect("not blocking");
    let mut terminal = File::from(terminal);
    let (mut output, mut has_typed) = (String::new(), typed.is_empty());
    let mut buffer = [0; 1024];
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(30) {
        match terminal.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => output.push_str(&String::from_utf8_lossy(&buffer[..count])),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(5));
            }
            // No process has it open any more.
            Err(_) => return output,
        }
        if !has_typed && output.contains(awaited) {
            terminal.write_all(typed.as_bytes()).expect("type");
            has_typed = true;
        }
    }
    panic!("descriptor {} is still open: {output}", terminal.as_raw_fd());
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_background_job_runs_and_reads_in_the_foreground() {
    each_shim("privileged_a_background_job_runs_and_reads_in_the_foreground", |node| {
        for terminal in [false, true] {
            let spec = node.spec(Base::Plain, "job", &["/bin/sh", "-c", "echo ran; exit 3"], terminal);
            let command = node.command_of(Base::Plain, "job", &spec, &["--rm"]);
            let shown = at_a_terminal(&command, "\"$@\" & wait $!; echo code $?", "", "");
            assert!(shown.contains("ran") && shown.contains("code 3"), "{terminal}: {shown}");
            // One that wants input waits for the foreground, and a signal ends it meanwhile.
            let spec =
                node.spec(Base::Plain, "job", &["/bin/sh", "-c", "echo ready; read line; echo got $line"], terminal);
            let command = node.command_of(Base::Plain, "job", &spec, &["--rm"]);
            let script = "\"$@\" & /bin/sleep 2; fg %1; echo code $?";
            let shown = at_a_terminal(&command, script, "ready", "hello\n");
            assert!(shown.contains("got hello") && shown.contains("code 0"), "{terminal}: {shown}");
            let script = "\"$@\" & /bin/sleep 2; kill %1; wait $!; echo code $?";
            let shown = at_a_terminal(&command, script, "", "");
            assert!(shown.contains("code 143"), "{terminal}: {shown}");
        }
        node.expect_nothing_left();
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_our_terminal_is_what_it_was_afterwards() {
    each_shim("privileged_our_terminal_is_what_it_was_afterwards", |node| {
        for script in ["exit 3", "stty -echo; kill -9 $$"] {
            let spec = node.spec(Base::Plain, "raw", &["/bin/sh", "-c", script], true);
            let command = node.command_of(Base::Plain, "raw", &spec, &["--rm"]);
            let shown = at_a_terminal(&command, "\"$@\"; echo code $?; /bin/stty -a", "", "");
            assert!(shown.contains("code "), "{shown}");
            assert!(shown.contains(" icanon") && shown.contains(" echo "), "{shown}");
        }
        node.expect_nothing_left();
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_orphans_without_a_pid_namespace_do_not_stay_zombies() {
    each_shim("privileged_orphans_without_a_pid_namespace_do_not_stay_zombies", |node| {
        let script = "i=0; while [ $i -lt 60 ]; do (sleep 0.01 &); (setsid sleep 0.01 &); i=$((i+1)); done; sleep 30";
        let spec = node.spec(Base::Plain, "orphans", &["/bin/sh", "-c", script], false);
        let mut changed: Value = serde_json::from_slice(&fs::read(&spec).unwrap()).unwrap();
        changed["linux"]["namespaces"].as_array_mut().unwrap().retain(|kind| kind["type"] != "pid");
        fs::write(&spec, changed.to_string()).unwrap();
        let mut command = node.command_of(Base::Plain, "orphans", &spec, &["--detach", "-o", "json"]);
        let shim = run(&mut command, []).expect(0).json()["shim_pid"].as_u64().unwrap();
        let zombies = || {
            let stats = fs::read_dir("/proc")
                .unwrap()
                .flatten()
                .filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
            stats
                .filter(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(&format!("Z {shim} "))))
                .count()
        };
        std::thread::sleep(Duration::from_secs(2));
        // One that has just ended may be on its way.
        let mut left = zombies();
        for _ in 0..100 {
            if left == 0 {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
            left = zombies();
        }
        assert_eq!(left, 0);
        node.dunnage(["delete", "--force", "orphans"]).expect(0);
        node.expect_nothing_left();
    });
}
