//! The filter as a program for the kernel: a binary search for the number of the call.
//!
//! `seccompiler` compares one number after the other, which is equally correct, but slow to
//! install: the kernel translates the whole program, and runs it once for every number there is
//! (0.14 ms for each process).

use std::num::TryFromIntError;

use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, SECCOMP_RET_ALLOW,
    SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS,
};
use rustix::io::Errno;
use seccompiler::sock_filter;

use crate::syscalls::{Calls, Check};

/// Where the kernel puts what a program can look at (`struct seccomp_data`, little-endian).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// `AUDIT_ARCH_…` of the calls that the numbers are meant for.
#[cfg(target_arch = "x86_64")]
const OURS: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const OURS: u32 = 0xc000_00b7;

/// A call that is not on the list is answered as by a kernel that lacks it: libraries then take
/// another way (of `clone3`, whose flags a filter cannot see, to `clone`).
const UNKNOWN: u32 = SECCOMP_RET_ERRNO | Errno::NOSYS.raw_os_error().unsigned_abs();

type Program = Vec<sock_filter>;

/// The rule for all calls from one number on, up to the next one of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CallRule<'a> {
    Unknown,
    Allowed,
    /// Allowed if one of these holds.
    Checked(&'a [Check]),
}

/// The program that allows these calls.
pub(crate) fn compile(calls: &Calls) -> Result<Program, TryFromIntError> {
    // Numbers mean something else on another architecture, such as the 32-bit one of a 64-bit
    // machine.
    let mut program = vec![load(ARCHITECTURE), jump(BPF_JEQ, OURS, 1, 0), answer(SECCOMP_RET_KILL_PROCESS)];
    program.push(load(NUMBER));
    let mut search = Search::default();
    let start = search.among(&spans(calls)?)?;
    // It is the one that was added last, and comes first.
    search.place(start);
    program.extend(search.backwards.into_iter().rev());
    Ok(program)
}

/// The rules of all numbers there are, in rising order. Those of another calling convention (x32)
/// are above every known one, and so unknown.
fn spans(calls: &Calls) -> Result<Vec<(u32, CallRule<'_>)>, TryFromIntError> {
    let mut spans = vec![(0, CallRule::Unknown)];
    let mut begin = |number: u32, fate| {
        // What begins here ends what would have begun here, and goes on if it is the same.
        spans.pop_if(|last| last.0 == number);
        if spans.last().is_none_or(|last| last.1 != fate) {
            spans.push((number, fate));
        }
    };
    for (number, checks) in calls {
        let number = u32::try_from(*number)?;
        begin(number, if checks.is_empty() { CallRule::Allowed } else { CallRule::Checked(checks) });
        begin(number + 1, CallRule::Unknown);
    }
    Ok(spans)
}

/// The search for the span of a number, which has been loaded. It is made from its end, since jumps
/// lead forward: most of them to the same few answers.
#[derive(Default)]
struct Search {
    backwards: Program,
    /// Where answers stand, the latest last. All places are counted from the end.
    answers: Vec<(u32, usize)>,
}

/// Where to go on.
#[derive(Clone, Copy)]
enum Next {
    /// At the instruction at a place.
    At(usize),
    /// At an answer, wherever it stands.
    Answer(u32),
}

impl Search {
    /// Half of the spans lie below the middle one.
    fn among(&mut self, spans: &[(u32, CallRule<'_>)]) -> Result<Next, TryFromIntError> {
        let (lower, upper) = spans.split_at(spans.len() / 2);
        match upper {
            [(middle, _), ..] if !lower.is_empty() => {
                let (above, below) = (self.among(upper)?, self.among(lower)?);
                let (above, below) = (self.place(above), self.place(below));
                let jump = jump(BPF_JGE, *middle, self.distance(above)?, self.distance(below)?);
                Ok(Next::At(self.add(jump)))
            }
            [(_, CallRule::Allowed), ..] => Ok(Next::Answer(SECCOMP_RET_ALLOW)),
            [(_, CallRule::Checked(checks)), ..] => {
                self.backwards.extend(check(checks)?.into_iter().rev());
                Ok(Next::At(self.backwards.len() - 1))
            }
            [(_, CallRule::Unknown), ..] | [] => Ok(Next::Answer(UNKNOWN)),
        }
    }

    /// The place of what is next. An answer that is too far away for a jump is repeated.
    fn place(&mut self, next: Next) -> usize {
        let action = match next {
            Next::At(place) => return place,
            Next::Answer(action) => action,
        };
        // Less than the maximum, since another answer may come in between.
        let is_near = |place| self.distance(place).is_ok_and(|distance| distance < u8::MAX);
        let known = self.answers.iter().rev().find(|(known, place)| *known == action && is_near(*place));
        if let Some((_, place)) = known {
            return *place;
        }
        let place = self.add(answer(action));
        self.answers.push((action, place));
        place
    }

    fn add(&mut self, instruction: sock_filter) -> usize {
        self.backwards.push(instruction);
        self.backwards.len() - 1
    }

    /// How many instructions the next one must skip to get to a place.
    fn distance(&self, place: usize) -> Result<u8, TryFromIntError> {
        u8::try_from(self.backwards.len() - 1 - place)
    }
}

/// Allows the call if one of the checks holds. Arguments are compared in halves of 32 bits.
fn check(checks: &[Check]) -> Result<Program, TryFromIntError> {
    let mut program = Program::new();
    for Check { argument, mask, value } in checks {
        // From its end to its start, since a comparison that fails must skip the rest of it.
        let mut rest = vec![answer(SECCOMP_RET_ALLOW)];
        for (place, shift) in [(0, 0), (4, 32)] {
            let half = |number: u64| u32::try_from(number >> shift & u64::from(u32::MAX));
            let (mask, value) = (half(*mask)?, half(*value)?);
            if mask != 0 {
                let skip = u8::try_from(rest.len())?;
                let compare =
                    [load(ARGUMENTS + 8 * u32::from(*argument) + place), and(mask), jump(BPF_JEQ, value, 0, skip)];
                rest.splice(0..0, compare);
            }
        }
        program.extend(rest);
    }
    program.push(answer(UNKNOWN));
    Ok(program)
}

fn load(place: u32) -> sock_filter {
    instruction(BPF_LD | BPF_W | BPF_ABS, 0, 0, place)
}

fn and(mask: u32) -> sock_filter {
    instruction(BPF_ALU | BPF_AND | BPF_K, 0, 0, mask)
}

/// Skips `holds` instructions if the comparison holds, and `fails` if it does not.
fn jump(comparison: u32, with: u32, holds: u8, fails: u8) -> sock_filter {
    instruction(BPF_JMP | comparison | BPF_K, holds, fails, with)
}

fn answer(action: u32) -> sock_filter {
    instruction(BPF_RET | BPF_K, 0, 0, action)
}

fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> sock_filter {
    // All codes fit: they are sums of small flags.
    sock_filter { code: code.try_into().unwrap_or(u16::MAX), jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Profile;
    use crate::syscalls::needed;

    /// What the kernel would answer, and after how many instructions.
    fn run(program: &[sock_filter], number: u32, architecture: u32, arguments: [u64; 6]) -> (u32, usize) {
        let (mut at, mut value) = (0, 0);
        for steps in 1.. {
            let sock_filter { code, jt, jf, k } = program[at].clone();
            at += 1;
            let skip = |holds| usize::from(if holds { jt } else { jf });
            match u32::from(code) {
                0x20 if k == NUMBER => value = number,
                0x20 if k == ARCHITECTURE => value = architecture,
                0x20 => {
                    let place = k - ARGUMENTS;
                    value = (arguments[place as usize / 8] >> (place % 8 * 8)) as u32;
                }
                0x54 => value &= k,
                0x15 => at += skip(value == k),
                0x35 => at += skip(value >= k),
                0x06 => return (k, steps),
                code => panic!("no such instruction: {code:#x}"),
            }
        }
        unreachable!("a program ends")
    }

    #[test]
    fn exactly_the_listed_calls_are_allowed_after_few_steps() {
        for profile in Profile::ALL {
            let calls = needed(&profile);
            let program = compile(&calls).unwrap();
            for number in (0..1000).chain([0x4000_0000, 0x4000_0001, u32::MAX]) {
                // No check asks for all bits.
                let (answered, steps) = run(&program, number, OURS, [u64::MAX; 6]);
                let allowed = calls
                    .get(&i64::from(number))
                    .is_some_and(|checks| checks.is_empty() || checks.iter().any(|check| check.mask == check.value));
                assert_eq!(answered == SECCOMP_RET_ALLOW, allowed, "{}: {number}", profile.name);
                assert!(allowed || answered == UNKNOWN, "{}: {number}", profile.name);
                assert!(steps < 64, "{}: {number}: {steps}", profile.name);
            }
            assert!(program.len() < 256, "{}: {} instructions", profile.name, program.len());
            assert_eq!(run(&program, 0, OURS ^ 1, [0; 6]).0, SECCOMP_RET_KILL_PROCESS);
        }
    }

    #[test]
    fn arguments_are_compared_in_both_halves() {
        let low = Check { argument: 1, mask: 0xffff_ffff, value: 7 };
        let whole = Check { argument: 2, mask: u64::MAX, value: 3 << 32 };
        let flag = Check { argument: 5, mask: 0x10, value: 0x10 };
        let program = compile(&Calls::from([(5, vec![low, whole, flag])])).unwrap();
        let allowed = |arguments| run(&program, 5, OURS, arguments).0 == SECCOMP_RET_ALLOW;
        assert!(allowed([0, 7, 0, 0, 0, 0]) && allowed([0, 9 << 32 | 7, 0, 0, 0, 0]));
        assert!(allowed([0, 0, 3 << 32, 0, 0, 0]) && allowed([0, 0, 0, 0, 0, 0x11]));
        assert!(!allowed([0; 6]) && !allowed([7, 0, 3, 0, 0, 0x0f]) && !allowed([0, 0, 3 << 32 | 1, 0, 0, 0]));
    }
}
