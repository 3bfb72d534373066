//! The keyboard interface of YubiKeys on the USB (HID 1.11).

use std::io;
use std::time::Duration;

use nix::errno::Errno;
use nusb::transfer::{ControlIn, ControlOut, ControlType, Recipient};
use nusb::{Interface, MaybeFuture};
use zeroize::Zeroizing;

use super::YubikeyError;
use super::protocol::{FeatureReports, REPORT};

/// Yubico.
const VENDOR: u16 = 0x1050;
/// HID, boot interface, keyboard: the class, subclass and protocol of the interface.
const KEYBOARD: (u8, u8, u8) = (3, 1, 1);
/// `GET_REPORT` (HID 1.11 §7.2.1).
const GET_REPORT: u8 = 0x01;
/// `SET_REPORT` (HID 1.11 §7.2.2).
const SET_REPORT: u8 = 0x09;
/// Feature report, number 0.
const FEATURE: u16 = 0x0300;
/// For one transfer.
const TIME: Duration = Duration::from_secs(2);

/// A keyboard interface that is ours, until it is dropped and the kernel has it again.
pub(super) struct UsbReports(Interface);

/// All of them. A device that can't be opened is an error, for it may be the one that is meant.
pub(super) fn open_all() -> Result<Vec<UsbReports>, YubikeyError> {
    let mut found = Vec::new();
    let devices = match nusb::list_devices().wait() {
        Ok(devices) => devices,
        // The kernel has no USB at all, so nothing is plugged in.
        Err(error) if error.os_error() == Some(Errno::ENOENT as u32) => return Ok(found),
        Err(error) => return Err(usb_error(error)),
    };
    for device in devices {
        let keyboard = device.interfaces().find(|interface| {
            (interface.class(), interface.subclass(), interface.protocol()) == KEYBOARD
        });
        let Some(keyboard) = keyboard.filter(|_| device.vendor_id() == VENDOR) else { continue };
        let opened = device.open().wait().map_err(usb_error)?;
        let claimed = opened.detach_and_claim_interface(keyboard.interface_number()).wait();
        found.push(UsbReports(claimed.map_err(usb_error)?));
    }
    Ok(found)
}

impl FeatureReports for UsbReports {
    fn read(&mut self, report: &mut [u8; REPORT]) -> Result<(), YubikeyError> {
        let request = ControlIn {
            control_type: ControlType::Class,
            recipient: Recipient::Interface,
            request: GET_REPORT,
            value: FEATURE,
            index: self.0.interface_number().into(),
            length: REPORT as u16,
        };
        let read = Zeroizing::new(self.0.control_in(request, TIME).wait().map_err(usb_error)?);
        let whole = <&[u8; REPORT]>::try_from(read.as_slice());
        *report = *whole.map_err(|_| YubikeyError::Malformed("a report has eight bytes"))?;
        Ok(())
    }

    fn write(&mut self, report: &[u8; REPORT]) -> Result<(), YubikeyError> {
        let request = ControlOut {
            control_type: ControlType::Class,
            recipient: Recipient::Interface,
            request: SET_REPORT,
            value: FEATURE,
            index: self.0.interface_number().into(),
            data: report,
        };
        self.0.control_out(request, TIME).wait().map_err(usb_error)
    }
}

fn usb_error(error: impl Into<io::Error>) -> YubikeyError {
    YubikeyError::Usb(error.into())
}
