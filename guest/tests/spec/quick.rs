//! The quick reader beside the thorough one, over everything that is nearly a real spec.

use dunnage_policy::spec::{quick_remapped_gid, quick_task_settings, thorough_remapped_gid, thorough_task_settings};

use crate::agree::readers_agree;
use crate::generate::REAL;

/// It may leave any spec to the other, but it would be useless if it left those that daemons write.
#[test]
fn real_specs_are_read_quickly() {
    for spec in REAL {
        assert_eq!(quick_remapped_gid(spec).ok_or(()), thorough_remapped_gid(spec).map_err(drop));
        assert_eq!(quick_task_settings(spec).ok_or(()), thorough_task_settings(spec).map_err(drop));
    }
}

/// The same holds wherever the blocks of 64 bytes start.
#[test]
fn real_specs_with_space_around_are_read_quickly() {
    for spec in REAL {
        for space in 0..130 {
            let mut text = vec![b" \n\t\r"[space % 4]; space];
            text.extend_from_slice(spec);
            text.extend(vec![b' '; space / 2]);
            assert_eq!(quick_remapped_gid(&text), quick_remapped_gid(spec), "{space}");
        }
    }
}

#[test]
fn every_truncation() {
    for spec in REAL {
        for length in 0..spec.len() {
            assert_eq!(quick_remapped_gid(&spec[..length]), None, "{length}");
            readers_agree(&spec[..length]).unwrap();
        }
    }
}

/// Bytes of every kind that either reader tells apart.
const BYTES: &[u8] = b"\"\\{}[]:,/ \t\n\r0159-+.eEtrufalsnxAD_z\0\x08\x0c\x1a\x1f\x7f\x80\xa0\xbf\xc3\xe2\xed\xf0\xff";

#[test]
fn every_byte_replaced() {
    for spec in REAL {
        let mut text = spec.to_vec();
        for at in 0..text.len() {
            for byte in BYTES {
                text[at] = *byte;
                readers_agree(&text).unwrap();
            }
            text[at] = spec[at];
        }
    }
}

#[test]
fn every_byte_left_out_or_doubled() {
    for spec in REAL {
        for at in 0..spec.len() {
            let without = [&spec[..at], &spec[at + 1..]].concat();
            readers_agree(&without).unwrap();
            let doubled = [&spec[..=at], &spec[at..]].concat();
            readers_agree(&doubled).unwrap();
        }
    }
}

/// All short texts of a few pieces, in a place that the policy does not read.
#[test]
fn every_short_value() {
    const PIECES: [&[u8]; 15] = [
        b"{", b"}", b"[", b"]", b",", b":", b"\"", b"\"a\"", b"0", b"-1.5e3", b"null", b"\\", b"\n", b"\\u00e9",
        b"\xc3",
    ];
    // As long as a block: the spaces that fill up the last one are not in that of the value.
    const BEHIND: &[u8] = br#","xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx":0}"#;
    let mut chosen = [0; 5];
    loop {
        let mut text = b"{\"x\":".to_vec();
        chosen.iter().for_each(|piece| text.extend_from_slice(PIECES[*piece]));
        text.extend_from_slice(BEHIND);
        readers_agree(&text).unwrap();
        let Some(next) = chosen.iter().position(|piece| *piece + 1 < PIECES.len()) else { break };
        chosen[..next].fill(0);
        chosen[next] += 1;
    }
}
