//! Interfaces, addresses and routes (rtnetlink(7)).

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;

use crate::arguments::Prefix;
use crate::netlink::{Netlink, NetlinkError};

const NEW: u16 = NLM_F_CREATE | NLM_F_EXCL;

/// The number of an interface (if_nametoindex(3)).
#[derive(Clone, Copy)]
pub struct Index(pub u32);

/// The interfaces of this network namespace.
pub struct Links(Netlink);

impl Links {
    pub fn open() -> Result<Self, NetlinkError> {
        Netlink::open(NETLINK_ROUTE).map(Self)
    }

    /// Makes an interface, which is down and has no keys.
    pub fn create_wireguard(&mut self, name: &str) -> Result<Index, NetlinkError> {
        let what = "create a WireGuard interface of this name";
        let mut link = named(name);
        link.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Wireguard)]));
        self.0.request(what, RouteNetlinkMessage::NewLink(link), NEW)?;

        let what = "tell the number of an interface";
        let answers = self.0.request(what, RouteNetlinkMessage::GetLink(named(name)), 0)?;
        let index = answers.iter().find_map(|answer| match answer {
            RouteNetlinkMessage::NewLink(link) => Some(Index(link.header.index)),
            _ => None,
        });
        index.ok_or(NetlinkError::Unreadable(what))
    }

    pub fn add_address(&mut self, link: Index, prefix: Prefix) -> Result<(), NetlinkError> {
        let mut address = AddressMessage::default();
        address.header.family = family(prefix.address);
        address.header.prefix_len = prefix.length;
        address.header.index = link.0;
        address.attributes = vec![
            AddressAttribute::Local(prefix.address),
            AddressAttribute::Address(prefix.address),
        ];
        let request = RouteNetlinkMessage::NewAddress(address);
        self.0.request("give the interface this address", request, NEW).map(drop)
    }

    pub fn up(&mut self, link: Index) -> Result<(), NetlinkError> {
        let mut message = numbered(link);
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        self.0.request("bring the interface up", RouteNetlinkMessage::SetLink(message), 0).map(drop)
    }

    pub fn add_route(&mut self, link: Index, to: Prefix) -> Result<(), NetlinkError> {
        let mut route = RouteMessage::default();
        route.header = RouteHeader {
            address_family: family(to.address),
            destination_prefix_length: to.length,
            table: RouteHeader::RT_TABLE_MAIN,
            protocol: RouteProtocol::Static,
            scope: RouteScope::Link,
            kind: RouteType::Unicast,
            ..RouteHeader::default()
        };
        let destination = match to.address {
            IpAddr::V4(address) => RouteAddress::Inet(address),
            IpAddr::V6(address) => RouteAddress::Inet6(address),
        };
        route.attributes =
            vec![RouteAttribute::Destination(destination), RouteAttribute::Oif(link.0)];
        let request = RouteNetlinkMessage::NewRoute(route);
        self.0.request("route to the peer through the interface", request, NEW).map(drop)
    }

    pub fn delete(&mut self, link: Index) -> Result<(), NetlinkError> {
        let request = RouteNetlinkMessage::DelLink(numbered(link));
        self.0.request("delete the interface", request, 0).map(drop)
    }
}

fn named(name: &str) -> LinkMessage {
    let mut link = LinkMessage::default();
    link.attributes = vec![LinkAttribute::IfName(name.to_owned())];
    link
}

fn numbered(Index(index): Index) -> LinkMessage {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}
