//! The command line.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Parser, ValueEnum};

/// Makes a WireGuard tunnel with keys from cicada and a post-quantum preshared key.
#[derive(Parser)]
pub struct Arguments {
    /// Where cicada listens.
    #[arg(long, default_value = cicada_client::SOCKET)]
    pub socket: PathBuf,
    /// The identity whose keys to use.
    #[arg(long, default_value = "cloud-sync")]
    pub identity: String,
    /// Which end this is: one of each.
    #[arg(long)]
    pub role: Role,
    /// File with the peer's ML-DSA-65 public key, in base64.
    #[arg(long)]
    pub peer_key: PathBuf,
    /// Directory through which the two ends exchange public files; empty before.
    #[arg(long)]
    pub exchange: PathBuf,
    /// How many seconds to wait for the peer's files.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub wait: Duration,
    /// Name of the interface to create.
    #[arg(long, default_value = "wg0")]
    pub interface: String,
    /// Address of this end in the tunnel, as ADDRESS/LENGTH.
    #[arg(long)]
    pub address: Prefix,
    /// UDP port of this end.
    #[arg(long, default_value_t = 51820)]
    pub listen_port: u16,
    /// UDP address of the peer.
    #[arg(long)]
    pub endpoint: SocketAddr,
    /// What may come from the peer and is sent to it, as ADDRESS/LENGTH; once or more.
    #[arg(long, required = true)]
    pub allow: Vec<Prefix>,
}

/// Who encapsulates the shared secret, and who decapsulates it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Encapsulates.
    Initiator,
    /// Decapsulates.
    Responder,
}

impl Role {
    pub fn peer(self) -> Self {
        match self {
            Self::Initiator => Self::Responder,
            Self::Responder => Self::Initiator,
        }
    }
}

/// An address and how many of its bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    pub address: IpAddr,
    pub length: u8,
}

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unreadable = || format!("{text} is not ADDRESS/LENGTH, such as 10.99.0.2/32");
        let (address, length) = text.split_once('/').ok_or_else(unreadable)?;
        let address: IpAddr = address.parse().map_err(|_| unreadable())?;
        let length = length.parse().map_err(|_| unreadable())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        if length > bits { Err(unreadable()) } else { Ok(Self { address, length }) }
    }
}

fn seconds(text: &str) -> Result<Duration, std::num::ParseIntError> {
    text.parse().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_has_an_address_and_a_length_that_fits() {
        let prefix: Prefix = "10.99.0.2/32".parse().unwrap();
        assert_eq!(prefix, Prefix { address: IpAddr::from([10, 99, 0, 2]), length: 32 });
        assert_eq!("fd00::1/128".parse::<Prefix>().unwrap().length, 128);
        for wrong in ["10.99.0.2", "10.99.0.2/33", "fd00::1/129", "/8", "10.0.0.0/x", "10.0.0.0/-1"]
        {
            assert!(wrong.parse::<Prefix>().is_err(), "{wrong}");
        }
    }
}
