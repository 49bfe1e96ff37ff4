//! The TLS probe, which only does a handshake. The probe records the certificate chain of the server as evidence, even
//! if it does not accept the chain.

use parallax_vocab::Cause;
use parallax_vocab::answer::TlsReply;
use parallax_vocab::question::TlsQuestion;

use crate::dial::Dialler;

/// Answers a TLS question.
pub(crate) async fn answer(question: &TlsQuestion, dialler: &Dialler) -> Result<TlsReply, Cause> {
    let server_name = question.server_name.as_deref().unwrap_or(&question.host);
    dialler.tls(&question.host, question.port, server_name, &[]).await?;
    Ok(TlsReply { server_name: server_name.to_owned() })
}
