//! QR codes (ISO/IEC 18004) as text, for a terminal and a camera before it.
//!
//! A character cell is about twice as high as it is wide, so one cell shows two modules, one above
//! the other, with the half blocks U+2580 and U+2584. The fonts of the Linux console have them.

use qrcode::bits::Bits;
use qrcode::{Color, EcLevel, QrCode, Version};

/// The light margin that the standard asks for, in modules.
const QUIET_ZONE: usize = 4;

/// Black on white, whatever the terminal's own colours and the state it was left in.
///
/// White (47) is grey on most terminals, too grey beside a ground that is white in earnest; those
/// that know the bright white of aixterm (107) take that instead.
const BLACK_ON_WHITE: &str = "\x1b[0;30;47;107m";
const RESET: &str = "\x1b[0m";

/// What alphanumeric mode has beside digits and capitals.
const SIGNS: &[u8] = b" $%*+-./:";

/// The text doesn't fit the largest QR code.
///
/// That holds 7089 digits, 4296 characters of digits, capitals, spaces and `$%*+-./:`, or 2953 bytes
/// of anything else. It has 185 columns and 93 rows, so mind the size long before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a text of {length} bytes is too long for a QR code; show it in parts")]
pub struct TooLong {
    /// The length of the text, in bytes.
    pub length: usize,
}

/// A QR code with its margin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QrText {
    /// How many modules a row has.
    width: usize,
    /// Row by row: whether a module is dark.
    dark: Vec<bool>,
}

/// Makes a QR code of a text, with as much error correction as costs no space.
///
/// That is level M, which repairs 15 % of the code, or level L, which repairs 7 %. A text
/// of digits takes the least space, then one of digits, capitals, spaces and `$%*+-./:`; a single
/// other character makes all of it bytes. Those are UTF-8 without a designator, which readers guess.
///
/// # Errors
/// [`TooLong`] when no QR code is large enough.
pub fn qr(text: &str) -> Result<QrText, TooLong> {
    let code = code(text.as_bytes()).ok_or(TooLong { length: text.len() })?;
    let (modules, colours) = (code.width(), code.to_colors());
    let width = modules + 2 * QUIET_ZONE;
    let mut dark = vec![false; width * width];
    let rows = dark.chunks_exact_mut(width).skip(QUIET_ZONE);
    for (row, colours) in rows.zip(colours.chunks_exact(modules)) {
        for (module, colour) in row[QUIET_ZONE..].iter_mut().zip(colours) {
            *module = *colour == Color::Dark;
        }
    }
    Ok(QrText { width, dark })
}

fn code(text: &[u8]) -> Option<QrCode> {
    let low = with_level(text, EcLevel::L)?;
    let medium = with_level(text, EcLevel::M);
    medium.filter(|medium| medium.version() == low.version()).or(Some(low))
}

/// In one mode, because the crate's own mixture of modes may be larger than none, and takes pairs of
/// UTF-8 bytes for Shift JIS.
fn with_level(text: &[u8], level: EcLevel) -> Option<QrCode> {
    let is_alphanumeric =
        |byte: &u8| byte.is_ascii_digit() || byte.is_ascii_uppercase() || SIGNS.contains(byte);
    let push = if text.iter().all(u8::is_ascii_digit) {
        Bits::push_numeric_data
    } else if text.iter().all(is_alphanumeric) {
        Bits::push_alphanumeric_data
    } else {
        Bits::push_byte_data
    };
    (1..=40).map(Version::Normal).find_map(|version| {
        let mut bits = Bits::new(version);
        push(&mut bits, text).and_then(|()| bits.push_terminator(level)).ok()?;
        QrCode::with_bits(bits, level).ok()
    })
}

impl QrText {
    /// How many columns of a terminal it takes.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// How many rows of a terminal it takes.
    #[must_use]
    pub const fn height(&self) -> usize {
        self.width.div_ceil(2)
    }

    /// The code without escapes, for a terminal with light text on a dark ground.
    ///
    /// Light modules are blocks and dark ones spaces. On a light ground that is the negative, which
    /// many readers refuse. Each line ends with a newline.
    #[must_use]
    pub fn plain(&self) -> String {
        self.lines("", [' ', '▄', '▀', '█'], "")
    }

    /// The code in black on white, by escape sequences (ECMA-48 SGR), right on any terminal that
    /// knows colours.
    ///
    /// Each line ends with a reset and a newline.
    #[must_use]
    pub fn coloured(&self) -> String {
        self.lines(BLACK_ON_WHITE, ['█', '▀', '▄', ' '], RESET)
    }

    /// The cells are for two dark modules, a light one below, a light one above, two light ones.
    fn lines(&self, before: &str, cells: [char; 4], after: &str) -> String {
        let mut text = String::new();
        let rows: Vec<&[bool]> = self.dark.chunks_exact(self.width).collect();
        for pair in rows.chunks(2) {
            text.push_str(before);
            for (column, upper_dark) in pair[0].iter().enumerate() {
                // Below the last row the margin goes on.
                let lower_dark = pair.get(1).is_some_and(|row| row[column]);
                text.push(cells[2 * usize::from(!upper_dark) + usize::from(!lower_dark)]);
            }
            text.push_str(after);
            text.push('\n');
        }
        text
    }
}
