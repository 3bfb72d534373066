//! A key split so that `k` of `n` parts give it back and fewer say nothing: Shamir (1979), over GF(2^8).

use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use secret_memory::{Secret, with_clean_stack};
use vsss_rs::Gf256;
use zeroize::Zeroize;

/// The most parts.
pub const MAX_PARTS: u8 = 32;

/// A split that can't be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{need} of {parts} parts can't be: from 1 to all of at most {MAX_PARTS} are")]
pub struct InvalidThreshold {
    /// How many parts were to give the key back.
    pub need: u8,
    /// How many parts there were to be.
    pub parts: u8,
}

/// Splits `key` into `parts` parts, of which `need` give it back. Part `n` is at `n - 1`.
///
/// With `need` of 1 every part is the key itself.
///
/// # Errors
/// [`InvalidThreshold`].
pub fn split(key: &Secret<32>, need: u8, parts: u8) -> Result<Vec<Secret<32>>, InvalidThreshold> {
    let invalid = InvalidThreshold { need, parts };
    if need == 0 || need > parts || parts > MAX_PARTS {
        return Err(invalid);
    }
    if need == 1 {
        return Ok((0..parts).map(|_| Secret::copy_of(key.expose())).collect());
    }
    let split = with_clean_stack(|| {
        Gf256::split_array(need.into(), parts.into(), key.expose(), UnwrapErr(SysRng))
    });
    let mut split = split.map_err(|_| invalid)?;
    let parts = split.iter_mut().map(|part| {
        let copied = match part.split_first() {
            Some((_, bytes)) => bytes.try_into().map(Secret::copy_of).map_err(|_| invalid),
            None => Err(invalid),
        };
        part.zeroize();
        copied
    });
    parts.collect()
}

/// The key that these parts, with their numbers from 1, give. `need` must be as it was.
///
/// Too few or wrong parts give a wrong key, and no error: the caller must know what it opens. `None`
/// when a number occurs twice, is 0, or there are not exactly `need`.
#[must_use]
pub fn combine(need: u8, parts: &[(u8, &Secret<32>)]) -> Option<Secret<32>> {
    let distinct = (1..).zip(parts).all(|(next, (number, _))| {
        *number != 0 && parts[next..].iter().all(|(other, _)| other != number)
    });
    if !distinct || parts.len() != usize::from(need) {
        return None;
    }
    if let ([(_, key)], 1) = (parts, need) {
        return Some(Secret::copy_of(key.expose()));
    }
    let mut numbered: Vec<Vec<u8>> = parts
        .iter()
        .map(|(number, part)| [std::slice::from_ref(number), part.expose()].concat())
        .collect();
    let combined = with_clean_stack(|| Gf256::combine_array(&numbered));
    numbered.iter_mut().for_each(Zeroize::zeroize);
    let mut combined = combined.ok()?;
    let key = combined.as_slice().try_into().ok().map(Secret::copy_of);
    combined.zeroize();
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_choice_of_enough_parts_gives_the_key_back() {
        let key = Secret::copy_of(&[0xa5; 32]);
        for (need, parts) in [(1, 1), (1, 4), (2, 2), (2, 5), (3, 5), (5, 5), (16, 32)] {
            let split = split(&key, need, parts).unwrap();
            assert_eq!(split.len(), usize::from(parts));
            let numbered: Vec<(u8, &Secret<32>)> = (1..).zip(&split).collect();
            for choice in numbered.windows(need.into()) {
                assert_eq!(combine(need, choice).unwrap().expose(), key.expose());
                let reversed: Vec<_> = choice.iter().rev().copied().collect();
                assert_eq!(combine(need, &reversed).unwrap().expose(), key.expose());
            }
        }
    }

    #[test]
    fn parts_are_counted_once_and_none_is_left_out() {
        let key = Secret::copy_of(&[7; 32]);
        let split = split(&key, 2, 3).unwrap();
        assert!(combine(2, &[(1, &split[0])]).is_none());
        assert!(combine(2, &[(1, &split[0]), (1, &split[0])]).is_none());
        assert!(combine(2, &[(0, &split[0]), (1, &split[1])]).is_none());
        assert!(combine(2, &[(1, &split[0]), (2, &split[1]), (3, &split[2])]).is_none());
    }

    /// One part less than enough: every key is as likely, so none is found by combining.
    #[test]
    fn one_part_too_few_gives_another_key() {
        let key = Secret::copy_of(&[7; 32]);
        let split = split(&key, 3, 3).unwrap();
        let two = combine(2, &[(1, &split[0]), (2, &split[1])]).unwrap();
        assert_ne!(two.expose(), key.expose());
    }

    #[test]
    fn impossible_thresholds_are_refused() {
        let key = Secret::copy_of(&[7; 32]);
        for (need, parts) in [(0, 1), (0, 0), (3, 2), (1, 33), (33, 33)] {
            assert!(split(&key, need, parts).is_err(), "{need} of {parts}");
        }
    }
}
