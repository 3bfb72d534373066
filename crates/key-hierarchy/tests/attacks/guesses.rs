//! What a KEK might derive from, out of some pieces: every way to order, drop, repeat and interpolate.

use std::sync::LazyLock;

use crate::attacker::Key;

/// Groups that no plan here has more of.
const MOST_GROUPS: usize = 4;

/// All guesses, those first that a satisfied policy makes come true.
///
/// `factors` is how many there are in the profile: a part's number in Shamir's scheme is at most that.
pub fn guesses(pieces: &[Key], factors: u8) -> Vec<Vec<u8>> {
    let mut guesses: Vec<Vec<u8>> = orders(pieces).iter().map(|order| order.concat()).collect();
    // A part that is missing may be thought of as zeros, where that makes not too many guesses.
    let mut pool = pieces.to_vec();
    if pieces.len() < 4 {
        pool.push(Key::default());
    }
    for chosen in 0..1_u32 << pool.len() {
        if chosen.count_ones() < 2 {
            continue;
        }
        let (parts, rest): (Vec<_>, Vec<_>) =
            (0..).zip(&pool).partition(|(at, _)| chosen >> at & 1 == 1);
        let parts: Vec<&Key> = parts.into_iter().map(|(_, key)| key).collect();
        let rest: Vec<Key> = rest.into_iter().map(|(_, key)| *key).collect();
        let rests = orders(&rest);
        for numbers in numberings(parts.len(), factors) {
            let key = interpolated(&numbers, &parts);
            for rest in &rests {
                for at in (0..=rest.len()).rev() {
                    let (before, after) = rest.split_at(at);
                    guesses.push([before.concat(), key.to_vec(), after.concat()].concat());
                }
            }
        }
    }
    guesses.extend(repetitions(pieces));
    guesses
}

/// Every order of every choice, the empty one too; the whole in its own order comes first.
pub fn orders(keys: &[Key]) -> Vec<Vec<Key>> {
    let mut all: Vec<Vec<Key>> = vec![Vec::new()];
    let mut from = 0;
    while from < all.len() {
        let order = all[from].clone();
        all.extend(keys.iter().filter(|key| !order.contains(key)).map(|key| {
            let mut longer = order.clone();
            longer.push(*key);
            longer
        }));
        from += 1;
    }
    all.sort_by_key(|order| (order != keys, order.len()));
    all
}

/// Sequences in which a piece stands more than once, and zeros for groups that he has nothing of.
fn repetitions(pieces: &[Key]) -> Vec<Vec<u8>> {
    let symbols: Vec<Key> = pieces.iter().copied().chain([Key::default()]).collect();
    let mut sequences = vec![Vec::new()];
    let mut from = 0;
    for _ in 0..MOST_GROUPS {
        let to = sequences.len();
        for at in from..to {
            for symbol in &symbols {
                sequences.push([&sequences[at][..], symbol].concat());
            }
        }
        from = to;
    }
    sequences
}

/// Every way to give these many parts different numbers from 1.
fn numberings(parts: usize, most: u8) -> Vec<Vec<u8>> {
    (0..parts).fold(vec![Vec::new()], |begun, _| {
        let longer = begun.iter().flat_map(|numbers| {
            let free = (1..=most).filter(|number| !numbers.contains(number));
            free.map(|number| [&numbers[..], &[number]].concat())
        });
        longer.collect()
    })
}

/// The value at 0 of the polynomial through these points, over GF(2^8) of AES (FIPS 197 §4).
fn interpolated(numbers: &[u8], parts: &[&Key]) -> Key {
    let mut key = Key::default();
    for (number, part) in numbers.iter().zip(parts) {
        let others = numbers.iter().filter(|other| *other != number);
        let weight = others.fold(1, |product, other| {
            multiplied(product, multiplied(*other, inverse(number ^ other)))
        });
        for (byte, of_part) in key.iter_mut().zip(part.iter()) {
            *byte ^= multiplied(weight, *of_part);
        }
    }
    key
}

/// The field, multiplied out once: this code is not optimised.
static PRODUCTS: LazyLock<Vec<[u8; 256]>> = LazyLock::new(|| {
    let doubled = |a: u8| a << 1 ^ if a & 0x80 == 0 { 0 } else { 0x1b };
    let product = |a: u8, b: u8| {
        let powers = std::iter::successors(Some(a), |power| Some(doubled(*power)));
        let chosen = powers.enumerate().take(8).filter(|(bit, _)| b >> bit & 1 == 1);
        chosen.fold(0, |sum, (_, power)| sum ^ power)
    };
    (0..=255).map(|a| std::array::from_fn(|b| product(a, b as u8))).collect()
});

fn multiplied(a: u8, b: u8) -> u8 {
    PRODUCTS[usize::from(a)][usize::from(b)]
}

fn inverse(a: u8) -> u8 {
    let row = &PRODUCTS[usize::from(a)];
    (1..=255).find(|b| row[usize::from(*b)] == 1).unwrap()
}
