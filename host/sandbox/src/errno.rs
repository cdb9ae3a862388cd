//! Errno as the contract's error codes, in one place and total.

use rustix::io::Errno;

use crate::bindings::dunnage::bundle::filesystem::ErrorCode;

impl From<Errno> for ErrorCode {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::ACCESS => Self::Access,
            Errno::BUSY => Self::Busy,
            Errno::EXIST => Self::Exist,
            Errno::INVAL => Self::Invalid,
            Errno::ISDIR => Self::IsDirectory,
            Errno::LOOP => Self::Loop,
            Errno::NAMETOOLONG => Self::NameTooLong,
            Errno::NOENT => Self::NoEntry,
            Errno::NOTDIR => Self::NotDirectory,
            Errno::NOTEMPTY => Self::NotEmpty,
            Errno::PERM => Self::NotPermitted,
            Errno::NOSPC | Errno::DQUOT => Self::InsufficientSpace,
            Errno::ROFS => Self::ReadOnly,
            Errno::FBIG => Self::TooLarge,
            Errno::NOTSUP | Errno::NOSYS => Self::Unsupported,
            Errno::XDEV => Self::CrossDevice,
            other => Self::Other(other.raw_os_error().unsigned_abs()),
        }
    }
}

/// The text for a code whose errno is not known any more.
pub(crate) fn describe(code: ErrorCode) -> String {
    let text = match code {
        ErrorCode::Access => "permission denied",
        ErrorCode::Busy => "it is in use",
        ErrorCode::Exist => "the name is taken",
        ErrorCode::Invalid => "it is not a regular file",
        ErrorCode::IsDirectory => "it is a directory",
        ErrorCode::Loop => "it is a symbolic link",
        ErrorCode::NameTooLong => "the name is too long",
        ErrorCode::NoEntry => "no such file",
        ErrorCode::NotDirectory => "it is not a directory",
        ErrorCode::NotEmpty => "it is not empty",
        ErrorCode::NotPermitted => "operation not permitted",
        ErrorCode::InsufficientSpace => "no space left",
        ErrorCode::ReadOnly => "the file system is read-only",
        ErrorCode::TooLarge => "it is too large",
        ErrorCode::Unsupported => "not supported by the kernel or the file system",
        ErrorCode::CrossDevice => "it is on another mount",
        ErrorCode::Other(number) => {
            return std::io::Error::from_raw_os_error(i32::try_from(number).unwrap_or(0)).to_string();
        }
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every errno that Linux has (errno(3); 41 and 58 are not used) has a code, and only those
    /// that have none of their own keep their number.
    #[test]
    fn every_errno_has_a_code() {
        let named = [1, 2, 13, 16, 17, 18, 20, 21, 22, 27, 28, 30, 36, 38, 39, 40, 95, 122];
        for number in 1..=133 {
            let code = ErrorCode::from(Errno::from_raw_os_error(number));
            if named.contains(&number) {
                assert!(!matches!(code, ErrorCode::Other(_)), "errno {number} is {code:?}");
            } else {
                assert!(
                    matches!(code, ErrorCode::Other(same) if same == number.unsigned_abs()),
                    "errno {number} is {code:?}"
                );
            }
            assert!(!describe(code).is_empty());
        }
    }
}
