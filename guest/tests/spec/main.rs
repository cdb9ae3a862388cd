//! The policy's reading of specs against the original's: recorded answers, and an oracle that was
//! written from the rule alone.

#[cfg(test)]
mod agree;
#[cfg(test)]
mod generate;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod quick;
#[cfg(test)]
mod vectors;
