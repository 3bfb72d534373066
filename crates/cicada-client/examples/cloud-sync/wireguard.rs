//! Keys and the peer of a WireGuard interface (generic netlink family `wireguard`,
//! uapi/linux/wireguard.h).

use std::net::SocketAddr;

use netlink_packet_generic::GenlMessage;
use netlink_packet_generic::ctrl::nlas::GenlCtrlAttrs;
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_packet_wireguard::{
    WireguardAddressFamily, WireguardAllowedIp, WireguardAllowedIpAttr, WireguardAttribute,
    WireguardCmd, WireguardDeviceFlags, WireguardMessage, WireguardPeer, WireguardPeerAttribute,
    WireguardPeerFlags,
};
use netlink_sys::protocols::NETLINK_GENERIC;
use secret_memory::with_clean_stack;

use crate::agreement::Keys;
use crate::arguments::Prefix;
use crate::link::Index;
use crate::netlink::{Netlink, NetlinkError};

/// What of an interface is not secret.
pub struct Tunnel<'a> {
    pub listen_port: u16,
    pub endpoint: SocketAddr,
    pub allowed: &'a [Prefix],
}

/// The WireGuard interfaces of this network namespace.
pub struct Devices {
    netlink: Netlink,
    family: u16,
}

impl Devices {
    pub fn open() -> Result<Self, NetlinkError> {
        let mut netlink = Netlink::open(NETLINK_GENERIC)?;
        let family = resolve_family(&mut netlink)?;
        Ok(Self { netlink, family })
    }

    /// Gives an interface its private key and its only peer.
    ///
    /// The types of the netlink crate are plain arrays: the two secrets are on the stack and in the heap
    /// while the request is put together. Both are wiped behind it, the heap by the global allocator.
    pub fn configure(
        &mut self,
        link: Index,
        tunnel: &Tunnel<'_>,
        keys: &Keys,
    ) -> Result<(), NetlinkError> {
        with_clean_stack(|| {
            let mut request = GenlMessage::from_payload(set_device(link, tunnel, keys));
            request.set_resolved_family_id(self.family);
            self.netlink.request("give WireGuard its keys", request, 0).map(drop)
        })
    }
}

/// The number that the kernel gave the family when it was loaded.
fn resolve_family(netlink: &mut Netlink) -> Result<u16, NetlinkError> {
    let what = "know WireGuard";
    let nlas = vec![GenlCtrlAttrs::FamilyName("wireguard".to_owned())];
    let request = GenlMessage::from_payload(GenlCtrl { cmd: GenlCtrlCmd::GetFamily, nlas });
    let answers = netlink.request(what, request, 0)?;
    let attributes = answers.iter().flat_map(|answer| &answer.payload.nlas);
    let mut numbers = attributes.filter_map(|attribute| match attribute {
        GenlCtrlAttrs::FamilyId(number) => Some(*number),
        _ => None,
    });
    numbers.next().ok_or(NetlinkError::Unreadable(what))
}

fn set_device(Index(index): Index, tunnel: &Tunnel<'_>, keys: &Keys) -> WireguardMessage {
    let peer = WireguardPeer(vec![
        WireguardPeerAttribute::PublicKey(keys.peer_public_key),
        WireguardPeerAttribute::PresharedKey(*keys.preshared_key.expose()),
        WireguardPeerAttribute::Flags(WireguardPeerFlags::ReplaceAllowedIps),
        WireguardPeerAttribute::Endpoint(tunnel.endpoint),
        WireguardPeerAttribute::AllowedIps(tunnel.allowed.iter().map(allowed_ip).collect()),
    ]);
    WireguardMessage {
        cmd: WireguardCmd::SetDevice,
        attributes: vec![
            WireguardAttribute::IfIndex(index),
            WireguardAttribute::Flags(WireguardDeviceFlags::ReplacePeers),
            WireguardAttribute::PrivateKey(*keys.private_key.expose()),
            WireguardAttribute::ListenPort(tunnel.listen_port),
            WireguardAttribute::Peers(vec![peer]),
        ],
    }
}

fn allowed_ip(prefix: &Prefix) -> WireguardAllowedIp {
    let family = if prefix.address.is_ipv4() {
        WireguardAddressFamily::Ipv4
    } else {
        WireguardAddressFamily::Ipv6
    };
    WireguardAllowedIp(vec![
        WireguardAllowedIpAttr::Family(family),
        WireguardAllowedIpAttr::IpAddr(prefix.address),
        WireguardAllowedIpAttr::Cidr(prefix.length),
    ])
}
