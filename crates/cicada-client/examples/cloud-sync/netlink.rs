//! One netlink request and its answers (netlink(7)).

use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable,
};
use netlink_sys::{Socket, SocketAddr};
use secret_memory::SecretBytes;

/// Larger than any answer to what this program asks, in bytes.
const ANSWER_BYTES: usize = 32768;

/// The kernel did not do it.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// It said why not.
    #[error("the kernel does not {what}; CAP_NET_ADMIN and CONFIG_WIREGUARD are needed")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// The errno.
        #[source]
        source: io::Error,
    },
    /// What came back is no answer.
    #[error("the kernel's answer to `{0}` cannot be read")]
    Unreadable(&'static str),
    /// No room in secret memory.
    #[error("out of secret memory")]
    OutOfMemory(#[from] secret_memory::OutOfSecretMemory),
}

/// A netlink socket of one protocol.
pub struct Netlink(Socket);

impl Netlink {
    /// # Errors
    /// The errno of socket(2), connect(2), setsockopt(2).
    pub fn open(protocol: isize) -> Result<Self, NetlinkError> {
        let open = || {
            let socket = Socket::new(protocol)?;
            socket.connect(&SocketAddr::new(0, 0))?;
            // Without this the kernel sends a request that it refuses back whole, keys included.
            socket.set_cap_ack(true)?;
            Ok(Self(socket))
        };
        open().map_err(|source| NetlinkError::Refused { what: "give a netlink socket", source })
    }

    /// Sends a request and returns what came before its acknowledgement.
    ///
    /// The request is written into secret memory; the kernel copies it from there. (WireGuard wipes the
    /// keys in that copy.)
    pub fn request<T>(
        &mut self,
        what: &'static str,
        payload: T,
        flags: u16,
    ) -> Result<Vec<T>, NetlinkError>
    where
        T: NetlinkSerializable + NetlinkDeserializable,
    {
        let refused = |source| NetlinkError::Refused { what, source };
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(payload));
        message.finalize();
        let mut buffer = SecretBytes::zeroed(message.buffer_len())?;
        message.serialize(buffer.expose_mut());
        self.0.send(buffer.expose(), 0).map_err(refused)?;

        let mut answers = Vec::new();
        loop {
            let mut datagram = Vec::with_capacity(ANSWER_BYTES);
            self.0.recv(&mut datagram, 0).map_err(refused)?;
            let mut rest = &datagram[..];
            while !rest.is_empty() {
                let unreadable = NetlinkError::Unreadable(what);
                let Ok(message) = NetlinkMessage::<T>::deserialize(rest) else {
                    return Err(unreadable);
                };
                // Messages are aligned to four bytes (NLMSG_ALIGN).
                let length = (message.header.length as usize).next_multiple_of(4);
                rest = rest.get(length..).unwrap_or_default();
                match message.payload {
                    NetlinkPayload::InnerMessage(answer) => answers.push(answer),
                    NetlinkPayload::Error(error) => match error.code {
                        None => return Ok(answers),
                        Some(_) => return Err(refused(error.to_io())),
                    },
                    _ => return Err(unreadable),
                }
            }
        }
    }
}
