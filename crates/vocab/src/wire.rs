//! Frames between the harness and the agent in a pod.
//!
//! A frame begins with four bytes, which are the length of the rest in bytes, as a big-endian number. The rest is JSON.
//! The agent sends the first frame ([`FromAgent::Hello`]). Several questions may be unanswered at the same time, and
//! their answers come in any order. The number `request` says to which question an answer belongs. The agent ends when
//! its standard input ends, or when it receives no frame for [`SILENCE_LIMIT_MS`] milliseconds.

use serde::{Deserialize, Serialize};

use crate::answer::Answer;
use crate::prober::{ProberOrder, Series};
use crate::question::Question;

/// The version of this protocol. The harness and the agent are built from the same sources, so different versions are
/// an error.
pub const VERSION: u32 = 2;
/// The largest length of a frame, in bytes.
pub const FRAME_LIMIT_BYTES: u32 = 1024 * 1024;
/// The interval at which the harness sends heartbeats, in milliseconds.
pub const HEARTBEAT_MS: u64 = 2_000;
/// The longest time for which the agent waits for a frame, in milliseconds. If no frame arrives, the agent ends.
pub const SILENCE_LIMIT_MS: u64 = 15_000;

/// A message from the harness to the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ToAgent {
    /// Asks a question.
    Ask {
        /// The number of this question. The answer repeats it.
        request: u64,
        /// The question that the agent must answer.
        question: Box<Question>,
    },
    /// Gives an order to a prober.
    Prober {
        /// The number of this order. The response repeats it.
        request: u64,
        /// The number of the prober, which identifies it within the session.
        prober: u64,
        /// The order to the prober.
        order: ProberOrder,
    },
    /// Shows that the harness is alive. The harness sends this message every [`HEARTBEAT_MS`] milliseconds.
    Heartbeat,
}

/// A message from the agent to the harness.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum FromAgent {
    /// Begins the session. The agent sends this message as its first frame.
    Hello {
        /// The [`VERSION`] of the protocol that the agent uses.
        version: u32,
        /// The host name of the pod or container.
        host: String,
        /// The IP addresses of the pod or container.
        addresses: Vec<std::net::IpAddr>,
    },
    /// Gives the answer to a question ([`ToAgent::Ask`]).
    Answered {
        /// The number that the question had ([`ToAgent::Ask`]).
        request: u64,
        /// The answer to the question.
        answer: Box<Answer>,
    },
    /// Gives the response to an order to a prober ([`ToAgent::Prober`]).
    Series {
        /// The number that the order had ([`ToAgent::Prober`]).
        request: u64,
        /// What the prober observed; `None` if the session has no prober with the number that the order contains.
        series: Option<Box<Series>>,
    },
}

/// The reason why a frame could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The length is greater than [`FRAME_LIMIT_BYTES`]. Either the bytes do not belong to this protocol, or the reader
    /// did not begin at the start of a frame.
    #[error("frame of {0} bytes is longer than the limit of {FRAME_LIMIT_BYTES}")]
    TooLong(u64),
    /// The bytes of the frame are not the JSON of a message.
    #[error("frame is not valid: {0}")]
    Invalid(#[from] serde_json::Error),
}

/// Encodes one message as a frame.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let json = serde_json::to_vec(message)?;
    let length = u32::try_from(json.len()).ok().filter(|n| *n <= FRAME_LIMIT_BYTES);
    let length = length.ok_or(FrameError::TooLong(json.len() as u64))?;
    let mut frame = Vec::with_capacity(json.len() + 4);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&json);
    Ok(frame)
}

/// Takes one frame from the front of `buffer`, and decodes its message. Returns `None` while the frame is incomplete.
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
