//! `run`: what a container gets, what comes back, and that nothing of it is left.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use dunnage_tests::binary::{run, through};
use dunnage_tests::containers::{BASES, Base, Node, each_shim};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::Value;

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_the_exit_code_is_the_containers() {
    each_shim("privileged_the_exit_code_is_the_containers", |node| {
        for base in BASES {
            for (program, code) in [(&["/bin/true"][..], 0), (&["/bin/false"], 1), (&["/bin/sh", "-c", "exit 42"], 42)]
            {
                let outcome = node.run(base, "exit", program, []).expect(code);
                assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", ""), "{base:?} {program:?}");
                node.expect_nothing_left();
            }
            node.run(base, "kill", &["/bin/sh", "-c", "/bin/sh -c 'kill -9 $$'; exit $?"], []).expect(137);
            node.expect_nothing_left();
        }
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_standard_streams_are_passed_through() {
    each_shim("privileged_standard_streams_are_passed_through", |node| {
        for base in BASES {
            let input = "first line\nlast line without an end".repeat(5000);
            let outcome = node.run(base, "cat", &["/bin/cat"], &input).expect(0);
            assert_eq!(outcome.stdout, input);
            let script = "echo out; echo err >&2; echo again > /dev/stdout; echo more > /dev/stderr";
            let outcome = node.run(base, "both", &["/bin/sh", "-c", script], []).expect(0);
            assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("out\nagain\n", "err\nmore\n"), "{base:?}");
            node.expect_nothing_left();
        }
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_much_output_arrives_whole() {
    each_shim("privileged_much_output_arrives_whole", |node| {
        for base in BASES {
            let program = ["/bin/dd", "if=/dev/zero", "bs=1048576", "count=50"];
            let outcome = node.run(base, "much", &program, []).expect(0);
            assert_eq!(outcome.stdout.len(), 50 << 20, "{base:?}");
            node.expect_nothing_left();
        }
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_nobody_reads_the_output_any_more() {
    each_shim("privileged_nobody_reads_the_output_any_more", |node| {
        let mut command = node.command(Base::Plain, "yes", &["/bin/sh", "-c", "while :; do echo yes; done"], &["--rm"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("start");
        let mut first = [0; 4];
        child.stdout.take().expect("a pipe").read_exact(&mut first).expect("the first line");
        assert_eq!(&first, b"yes\n");
        let status = child.wait().expect("the end");
        assert_eq!(status.code(), Some(128 + 13));
        node.expect_nothing_left();
    });
}

/// Runs something that says when it is ready (or repeats that we say so), and sends it signals then.
fn signalled(node: &Node, base: Base, program: &[&str], signals: &[Signal]) -> Option<i32> {
    signalled_process(&mut node.command(base, "signal", program, &["--rm"]), signals)
}

fn signalled_process(command: &mut Command, signals: &[Signal]) -> Option<i32> {
    let mut child: Child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start");
    // Its end is kept open, so that no process ends for lack of input.
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(b"ready\n").expect("say so");
    let mut ready = [0; 6];
    child.stdout.as_mut().expect("a pipe").read_exact(&mut ready).expect("ready");
    for signal in signals {
        kill_process(Pid::from_child(&child), *signal).expect("kill");
    }
    child.wait().expect("the end").code()
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_signals_are_passed_on() {
    each_shim("privileged_signals_are_passed_on", |node| {
        for base in BASES {
            let sleep = "echo ready; exec /bin/sleep 1000";
            // The init of a pid namespace gets only what it handles; the rest is done for it.
            assert_eq!(signalled(node, base, &["/bin/cat"], &[Signal::TERM]), Some(143));
            node.expect_nothing_left();
            assert_eq!(signalled(node, base, &["/bin/cat"], &[Signal::INT]), Some(130));
            assert_eq!(signalled(node, base, &["/bin/sh", "-c", sleep], &[Signal::TERM]), Some(143));
            let handled = "trap 'exit 7' TERM; trap : USR1; echo ready; while :; do /bin/sleep 0.01; done";
            assert_eq!(signalled(node, base, &["/bin/sh", "-c", handled], &[Signal::USR1, Signal::TERM]), Some(7));
            node.expect_nothing_left();
        }
        // Under nohup the end of the terminal is not for the container either.
        let script = "trap 'exit 1' HUP; trap 'exit 7' TERM; echo ready; while :; do /bin/sleep 0.01; done";
        let command = node.command(Base::Plain, "signal", &["/bin/sh", "-c", script], &["--rm"]);
        let mut nohup = through("/bin/sh", ["-c", "trap '' HUP; exec \"$@\"", "sh"], &command);
        assert_eq!(signalled_process(&mut nohup, &[Signal::HUP, Signal::TERM]), Some(7));
        node.expect_nothing_left();
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_signal_at_any_time_leaves_nothing() {
    each_shim("privileged_a_signal_at_any_time_leaves_nothing", |node| {
        for step in 0..50 {
            let mut command = node.command(Base::Plain, "early", &["/bin/sleep", "1000"], &["--rm"]);
            let mut child = command.stdin(Stdio::null()).spawn().expect("start");
            thread::sleep(Duration::from_millis(step * 4));
            let signal = if step % 2 == 0 { Signal::TERM } else { Signal::INT };
            kill_process(Pid::from_child(&child), signal).expect("kill");
            let status = child.wait().expect("a status");
            let number = signal.as_raw();
            // Before it can catch anything the signal simply ends it.
            assert!(
                status.code() == Some(128 + number)
                    || std::os::unix::process::ExitStatusExt::signal(&status) == Some(number),
                "{status:?} after {step}"
            );
            node.expect_nothing_left();
        }
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_terminal_is_one() {
    each_shim("privileged_a_terminal_is_one", |node| {
        for base in BASES {
            let script = "test -t 0 && test -t 1 && test -t 2 && stty size && read line && echo got $line";
            let spec = node.spec(base, "tty", &["/bin/sh", "-c", script], true);
            let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
            grantpt(&ours).expect("grantpt");
            unlockpt(&ours).expect("unlockpt");
            let path = ptsname(&ours, Vec::new()).expect("its name");
            let theirs =
                File::options().read(true).write(true).open(path.to_str().expect("UTF-8")).expect("the terminal");
            tcsetwinsize(&ours, Winsize { ws_row: 33, ws_col: 77, ws_xpixel: 0, ws_ypixel: 0 }).expect("a size");
            let mut command = node.command_of(base, "tty", &spec, &["--rm"]);
            let end = |file: &File| Stdio::from(file.try_clone().expect("a copy"));
            let mut child =
                command.stdin(end(&theirs)).stdout(end(&theirs)).stderr(end(&theirs)).spawn().expect("start");
            drop((theirs, command));
            let output = converse(ours, "33 77", "hello\n");
            assert_eq!(child.wait().expect("the end").code(), Some(0), "{base:?}: {output}");
            assert!(output.contains("got hello"), "{output}");
            node.expect_nothing_left();
        }
    });
}

/// Reads from a terminal to its end; once something is there, types an answer.
fn converse(terminal: OwnedFd, awaited: &str, answer: &str) -> String {
    let mut terminal = File::from(terminal);
    let (mut output, mut answered) = (String::new(), false);
    let mut buffer = [0; 1024];
    // A terminal that no process has open any more answers EIO.
    while let Ok(count @ 1..) = terminal.read(&mut buffer) {
        output.push_str(&String::from_utf8_lossy(&buffer[..count]));
        if !answered && output.contains(awaited) {
            terminal.write_all(answer.as_bytes()).expect("type");
            answered = true;
        }
    }
    output
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_many_run_side_by_side() {
    each_shim("privileged_many_run_side_by_side", |node| {
        thread::scope(|scope| {
            for number in 0..20 {
                let node = &node;
                scope.spawn(move || {
                    let base = if number % 2 == 0 { Base::Plain } else { Base::Userns };
                    let script = format!("echo {number}; exit {number}");
                    let outcome = node.run(base, &format!("many-{number}"), &["/bin/sh", "-c", &script], []);
                    assert_eq!(outcome.expect(number).stdout, format!("{number}\n"));
                });
            }
        });
        let events = node.dunnage(["events"]).expect(0).stdout;
        for number in 0..20 {
            let told = |event: &str| {
                let event: Value = serde_json::from_str(event).expect("an event");
                event["id"] == format!("many-{number}") && event["exit_status"] == number
            };
            assert!(events.lines().any(told), "the end of {number}: {events}");
        }
        node.expect_nothing_left();
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_what_cannot_run_is_told_and_leaves_nothing() {
    each_shim("privileged_what_cannot_run_is_told_and_leaves_nothing", |node| {
        let outcome = node.run(Base::Plain, "missing", &["/no/such/program"], []).expect(125);
        assert!(outcome.stderr.starts_with("dunnage: run default/missing: call-shim: exec: \"/no/such/program\": "));
        assert!(!outcome.stderr.contains("failed"), "{outcome:?}");
        node.expect_nothing_left();
        let spec = node.spec(Base::Plain, "rootless", &["/bin/true"], false);
        let mut command = node.scratch.command(["run", "rootless", "--rm", "--rootfs", "/no/such/rootfs"]);
        let outcome = run(command.arg("--spec").arg(&spec), []).expect(125);
        assert!(outcome.stderr.contains("/no/such/rootfs"), "{outcome:?}");
        node.expect_nothing_left();
        // A bundle that is there already is not ours to remove.
        node.scratch.run(["create", "there", "--spec", spec.to_str().expect("UTF-8")]).expect(0);
        node.run(Base::Plain, "there", &["/bin/true"], []).expect(125);
        assert!(node.scratch.bundle("there").join("config.json").exists());
        node.dunnage(["delete", "there"]).expect(0);
        node.expect_nothing_left();
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_spec_with_another_root_is_refused() {
    each_shim("privileged_a_spec_with_another_root_is_refused", |node| {
        let spec = node.spec(Base::Plain, "web", &["/bin/sh", "-c", "echo ran > /tmp/ran"], false);
        let mut content: Value = serde_json::from_slice(&fs::read(&spec).expect("the spec")).expect("JSON");
        let other = node.rootfs(Base::Userns);
        for (path, runs) in [("rootfs", true), ("./rootfs/", true), (other.to_str().expect("UTF-8"), false)] {
            content["root"]["path"] = path.into();
            fs::write(&spec, content.to_string()).expect("write the spec");
            let outcome = run(&mut node.command_of(Base::Plain, "web", &spec, &["--rm"]), []);
            if runs {
                outcome.expect(0);
            } else {
                assert!(outcome.expect(125).stderr.contains("root.path"));
            }
            node.expect_nothing_left();
        }
        assert!(!other.join("tmp/ran").exists());
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_detached_container_is_removed_at_its_end() {
    each_shim("privileged_a_detached_container_is_removed_at_its_end", |node| {
        for (program, ends) in [(&["/bin/sleep", "0.3"], true), (&["/bin/sleep", "1000"], false)] {
            let id = if ends { "short" } else { "long" };
            let mut command = node.command(Base::Plain, id, program, &["--rm", "--detach"]);
            assert_eq!(run(&mut command, []).expect(0).stdout, format!("{id}\n"));
            if !ends {
                assert_eq!(node.dunnage(["list", "--status", "-o", "json"]).expect(0).json()[0]["status"], "running");
                node.dunnage(["delete", id]).expect(6);
                node.dunnage(["delete", id, "--force"]).expect(0);
            }
            for _ in 0..500 {
                if !node.scratch.bundle(id).exists() {
                    break;
                }
                thread::sleep(Duration::from_millis(10));
            }
            node.expect_nothing_left();
        }
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_without_rm_the_bundle_stays() {
    each_shim("privileged_without_rm_the_bundle_stays", |node| {
        run(&mut node.command(Base::Plain, "kept", &["/bin/true"], &[]), []).expect(0);
        assert_eq!(node.processes(), []);
        let found = node.dunnage(["inspect", "kept", "-o", "json"]).expect(0).json();
        assert_eq!((found["address"].is_null(), found["shim_pid"].is_null()), (true, true), "{found}");
        assert_eq!(node.dunnage(["delete", "kept"]).expect(0).stdout, "kept\n");
        node.expect_nothing_left();
    });
}

/// As with `/var/run`, which is a link to `/run` everywhere.
#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_state_behind_a_link_will_do() {
    each_shim("privileged_a_state_behind_a_link_will_do", |node| {
        fs::create_dir_all(node.scratch.path().join("far/a")).expect("a directory");
        symlink("far", node.scratch.path().join("link")).expect("a link");
        let link = node.scratch.path().join("link");
        for (number, (state, root)) in [("state", "root"), ("a/../b", "a/../c")].into_iter().enumerate() {
            let id = format!("web-{number}");
            let mut command = node.command(Base::Plain, &id, &["/bin/sh", "-c", "exit 4"], &["--rm"]);
            command.arg("--state").arg(link.join(state)).arg("--root").arg(link.join(root));
            run(&mut command, []).expect(4);
        }
        node.expect_nothing_left();
    });
}
