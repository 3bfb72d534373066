//! QR codes as a terminal shows them, read by a decoder that isn't ours (rqrr, a port of quirc).

use paper::{QrText, TooLong, qr};
use proptest::prelude::*;

/// The largest head: its size, a colon and its root hash.
const HEAD: &str = "999999999999:0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF";

/// Pixels of a module; a cell is one module wide and two high.
const MODULE: usize = 4;
/// The cells of bare terminal on each side.
const AROUND: usize = 3;

/// A terminal's colours, as brightness.
#[derive(Clone, Copy, Debug)]
struct Terminal {
    text: u8,
    ground: u8,
    white: u8,
}

/// The console of Linux, to which bright white is white.
const CONSOLE: Terminal = Terminal { text: 170, ground: 0, white: 170 };
const DARK: Terminal = Terminal { text: 211, ground: 23, white: 255 };
const LIGHT: Terminal = Terminal { text: 23, ground: 255, white: 255 };

impl Terminal {
    /// What it shows for a text: rows of half cells.
    fn show(self, text: &str) -> Vec<Vec<u8>> {
        let columns = 2 * AROUND + text.lines().map(|line| cells(line).count()).max().unwrap_or(0);
        let mut screen = vec![vec![self.ground; columns]; 2 * AROUND];
        let (mut ink, mut paper) = (self.text, self.ground);
        for line in text.lines() {
            let (mut upper, mut lower) = (vec![self.ground; AROUND], vec![self.ground; AROUND]);
            for cell in cells(line) {
                let (above, below) = match cell {
                    Cell::Sgr("0;30;47;107") => {
                        (ink, paper) = (0, self.white);
                        continue;
                    }
                    Cell::Sgr("0") => {
                        (ink, paper) = (self.text, self.ground);
                        continue;
                    }
                    Cell::Character(' ') => (paper, paper),
                    Cell::Character('▀') => (ink, paper),
                    Cell::Character('▄') => (paper, ink),
                    Cell::Character('█') => (ink, ink),
                    other => panic!("unexpected: {other:?}"),
                };
                upper.push(above);
                lower.push(below);
            }
            // What a line leaves switched on would colour the rest of the screen.
            for mut half in [upper, lower] {
                half.resize(columns, paper);
                screen.push(half);
            }
        }
        screen.extend(vec![vec![paper; columns]; 2 * AROUND]);
        screen
    }

    /// What a camera before it reads.
    fn read(self, text: &str) -> Option<String> {
        let screen = self.show(text);
        let (width, height) = (screen[0].len() * MODULE, screen.len() * MODULE);
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| {
            screen[y / MODULE][x / MODULE]
        });
        let grids = image.detect_grids();
        assert!(grids.len() <= 1, "{} codes", grids.len());
        grids.first()?.decode().ok().map(|(_, content)| content)
    }
}

#[derive(Debug)]
enum Cell<'a> {
    Sgr(&'a str),
    Character(char),
}

fn cells(line: &str) -> impl Iterator<Item = Cell<'_>> {
    let mut rest = line;
    std::iter::from_fn(move || {
        if let Some(escape) = rest.strip_prefix("\x1b[") {
            let (parameters, after) = escape.split_once('m')?;
            rest = after;
            return Some(Cell::Sgr(parameters));
        }
        let character = rest.chars().next()?;
        rest = &rest[character.len_utf8()..];
        Some(Cell::Character(character))
    })
}

fn assert_read(code: &QrText, text: &str) {
    for terminal in [CONSOLE, DARK] {
        let read = terminal.read(&code.plain());
        assert_eq!(read.as_deref(), Some(text), "plain, {terminal:?}");
    }
    for terminal in [CONSOLE, DARK, LIGHT] {
        let read = terminal.read(&code.coloured());
        assert_eq!(read.as_deref(), Some(text), "coloured, {terminal:?}");
    }
}

#[test]
fn a_code_is_read_by_another_program() {
    let long = "Long enough for level L. ".repeat(20);
    let mixed = "0123456789".repeat(30) + "abc" + &"ABC".repeat(40);
    let note =
        "example.org/log\n17\nqGzX=\n\n— example.org/log Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+Z\n";
    for text in
        ["A", "12345", HEAD, &long, &mixed, note, "äöü ÄÖÜ", "日本語の文字列をそのまま", "\0\x7f"]
    {
        assert_read(&qr(text).unwrap(), text);
    }
}

#[test]
fn every_character_is_read_in_its_mode() {
    for character in '\0'..='\x7f' {
        for before in ["12", "AB", "ab"] {
            let text = format!("{before}{character}");
            let read = CONSOLE.read(&qr(&text).unwrap().plain());
            assert_eq!(read.as_ref(), Some(&text));
        }
    }
}

/// In kanji mode these would fit version 2; a reader would make Shift JIS of them.
#[test]
fn utf_8_is_never_taken_for_kanji() {
    assert_eq!(qr(&"あ".repeat(11)).unwrap().width(), 37);
}

#[test]
fn a_head_leaves_room_on_a_screen_of_80_by_24() {
    let code = qr(HEAD).unwrap();
    assert_eq!((code.width(), code.height()), (37, 19));
    let (plain, coloured) = (code.plain(), code.coloured());
    for text in [&plain, &coloured] {
        assert_eq!(text.lines().count(), code.height());
        for line in text.lines() {
            let shown = cells(line).filter(|cell| matches!(cell, Cell::Character(_))).count();
            assert_eq!(shown, code.width());
        }
    }
    insta::assert_snapshot!(plain);
}

#[test]
fn the_coloured_form_is_fixed() {
    insta::assert_snapshot!(qr("SESAME").unwrap().coloured().replace('\x1b', "␛"));
}

#[test]
fn each_line_stands_alone() {
    let code = qr(HEAD).unwrap().coloured();
    for line in code.lines() {
        assert!(line.starts_with("\x1b[0;30;47;107m") && line.ends_with("\x1b[0m"), "{line:?}");
        assert_eq!(line.matches('\x1b').count(), 2, "{line:?}");
    }
    let plain = qr(HEAD).unwrap().plain();
    assert!(plain.chars().all(|c| "█▀▄ \n".contains(c)));
}

#[test]
fn the_margin_is_four_modules() {
    let code = qr(HEAD).unwrap();
    let bright = Terminal { text: 255, ..CONSOLE };
    let screen = bright.show(&code.plain());
    let row_from = 2 * AROUND;
    let module = |x: usize, y: usize| screen[row_from + y][AROUND + x] == 255;
    let last = code.width() - 1;
    for n in 0..code.width() {
        for margin in 0..4 {
            assert!(module(n, margin) && module(n, last - margin), "above or below {n}");
            assert!(module(margin, n) && module(last - margin, n), "beside {n}");
        }
    }
    assert!(!module(4, 4) && !module(last - 4, 4) && !module(4, last - 4), "finder patterns");
}

/// In version 3, level M has room for 61 capitals and L for 77 (ISO/IEC 18004, table 7).
#[test]
fn error_correction_is_the_highest_that_costs_no_space() {
    let level = |length: usize| {
        let code = qr(&"Z".repeat(length)).unwrap();
        let screen = CONSOLE.show(&code.coloured());
        let modules = code.width() - 8;
        let grid = rqrr::SimpleGrid::from_func(modules, |x, y| {
            screen[2 * AROUND + 4 + y][AROUND + 4 + x] == 0
        });
        let (meta, _) = rqrr::Grid::new(grid).decode().unwrap();
        (meta.version.0, meta.ecc_level)
    };
    // As the format information spells them: 0 is M, 1 is L.
    assert_eq!(level(61), (3, 0));
    assert_eq!(level(62), (3, 1));
    assert_eq!(level(77), (3, 1));
    assert_eq!(level(78), (4, 0));
}

#[test]
fn what_fits_no_code_is_refused() {
    for (text, most) in [("7", 7089), ("Z", 4296), ("z", 2953)] {
        assert_eq!(qr(&text.repeat(most)).map(|code| code.width()), Ok(185), "{text}");
        assert_eq!(qr(&text.repeat(most + 1)), Err(TooLong { length: most + 1 }), "{text}");
    }
    assert_eq!(qr(&("é".repeat(1476) + "z")).map(|code| code.width()), Ok(185));
    assert_eq!(qr(&"é".repeat(1477)), Err(TooLong { length: 2954 }));
    insta::assert_snapshot!(TooLong { length: 2954 });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_code_of_any_text_is_read_again(text in "\\PC{1,60}|[0-9A-F:]{1,150}|[ -~\n]{1,100}") {
        assert_read(&qr(&text).unwrap(), &text);
    }

    /// However its hash is mixed of letters and digits.
    #[test]
    fn a_head_is_never_larger(size in 0..1_000_000_000_000_u64, hash in "[0-9A-F]{64}|[0-9]{64}|([A-F][0-9]{7}){8}") {
        let code = qr(&format!("{size}:{hash}")).unwrap();
        prop_assert!(code.width() <= 37 && code.height() <= 19, "{} {}", code.width(), code.height());
    }

    #[test]
    fn any_text_has_an_answer(text in any::<String>()) {
        let _ = qr(&text);
    }
}
