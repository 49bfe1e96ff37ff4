//! Frames between the harness and the agent in a pod.
//!
//! A frame is a length in four bytes, big-endian, and that many bytes of JSON. The agent speaks first ([`FromAgent::Hello`]);
//! questions may be asked side by side, and answers come in any order, joined by `request`. The agent ends when its
//! standard input ends or when no frame came for [`SILENCE_LIMIT_MS`].

use serde::{Deserialize, Serialize};

use crate::answer::Answer;
use crate::prober::{ProberOrder, Series};
use crate::question::Question;

/// Version of this protocol; the two ends are built from one tree, so any difference is an error.
pub const VERSION: u32 = 2;
/// Longest frame, in bytes.
pub const FRAME_LIMIT_BYTES: u32 = 1024 * 1024;
/// The harness sends a heartbeat this often, in milliseconds.
pub const HEARTBEAT_MS: u64 = 2_000;
/// The agent ends after this much silence, in milliseconds.
pub const SILENCE_LIMIT_MS: u64 = 15_000;

/// What the harness sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ToAgent {
    /// A question.
    Ask {
        /// Joins the answer to it.
        request: u64,
        /// What is asked.
        question: Box<Question>,
    },
    /// An order to a prober.
    Prober {
        /// Joins what it tells to it.
        request: u64,
        /// Which prober.
        prober: u64,
        /// What it shall do.
        order: ProberOrder,
    },
    /// A sign of life.
    Heartbeat,
}

/// What the agent sends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum FromAgent {
    /// First frame of a session.
    Hello {
        /// [`VERSION`]
        version: u32,
        /// Host name of the place.
        host: String,
        /// Addresses of the place.
        addresses: Vec<std::net::IpAddr>,
    },
    /// An answer.
    Told {
        /// The question's number.
        request: u64,
        /// What was seen.
        answer: Box<Answer>,
    },
    /// What a prober tells.
    Series {
        /// The order's number.
        request: u64,
        /// What was seen; none where there is no such prober.
        series: Option<Box<Series>>,
    },
}

/// Why a frame could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The length is past the limit: the stream is not ours, or out of step.
    #[error("frame of {0} bytes is longer than the limit of {FRAME_LIMIT_BYTES}")]
    TooLong(u64),
    /// The bytes are not the JSON of a frame.
    #[error("frame is not valid: {0}")]
    Invalid(#[from] serde_json::Error),
}

/// Encodes one frame.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let json = serde_json::to_vec(message)?;
    let length = u32::try_from(json.len()).ok().filter(|n| *n <= FRAME_LIMIT_BYTES);
    let length = length.ok_or(FrameError::TooLong(json.len() as u64))?;
    let mut frame = Vec::with_capacity(json.len() + 4);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&json);
    Ok(frame)
}

/// Takes one frame from the front of `buffer`, or `None` while it is incomplete.
pub fn decode<T: for<'de> Deserialize<'de>>(buffer: &mut Vec<u8>) -> Result<Option<T>, FrameError> {
    let Some(head) = buffer.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*head);
    if length > FRAME_LIMIT_BYTES {
        return Err(FrameError::TooLong(u64::from(length)));
    }
    let end = 4 + length as usize;
    if buffer.len() < end {
        return Ok(None);
    }
    let message = serde_json::from_slice(&buffer[4..end])?;
    buffer.drain(..end);
    Ok(Some(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_back_whole_however_it_is_cut() {
        let bytes = encode(&ToAgent::Heartbeat).expect("encodes");
        for cut in 0..bytes.len() {
            let mut buffer = bytes[..cut].to_vec();
            assert!(decode::<ToAgent>(&mut buffer).expect("incomplete is not an error").is_none());
            buffer.extend_from_slice(&bytes[cut..]);
            buffer.extend_from_slice(&bytes);
            assert_eq!(decode::<ToAgent>(&mut buffer).expect("valid"), Some(ToAgent::Heartbeat));
            assert_eq!(buffer, bytes);
        }
    }

    #[test]
    fn a_length_past_the_limit_is_refused_before_it_is_read() {
        let mut buffer = vec![0xff, 0xff, 0xff, 0xff];
        assert!(matches!(decode::<ToAgent>(&mut buffer), Err(FrameError::TooLong(_))));
    }
}
