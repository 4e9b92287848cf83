//! Room for a limited number of things, a part of which is reserved for the levels that matter most: however many rules
//! of low level are flooded, there is room for what is worth a look.
//!
//! Which of several things of one level get the room is decided by whoever asks, not here.

use crate::rule::Level;

/// Of how many places one is reserved for medium and above.
const RESERVED_FOR_MEDIUM: usize = 10;
/// Of how many places one is reserved for high and above. They are half of those reserved for medium.
const RESERVED_FOR_HIGH: usize = 20;

/// At most `max` things, of which `used` are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Most things of all levels together. Below 10 nothing is reserved.
    pub max: usize,
    /// Things that are there, of whatever level.
    pub used: usize,
}

impl Room {
    /// Returns room for `max` things, of which none is there yet.
    #[must_use]
    pub fn new(max: usize) -> Room {
        Room { max, used: 0 }
    }

    /// Returns how many things there may be for one more of `level` to have been admitted: 90 % of the room for
    /// informational and low, 95 % for medium, all of it for high and critical.
    #[must_use]
    pub fn max_of(&self, level: Level) -> usize {
        match level {
            Level::Informational | Level::Low => self.max - self.max / RESERVED_FOR_MEDIUM,
            Level::Medium => self.max - self.max / RESERVED_FOR_HIGH,
            Level::High | Level::Critical => self.max,
        }
    }

    /// Returns how many more things of `level` are admitted.
    #[must_use]
    pub fn left(&self, level: Level) -> usize {
        self.max_of(level).saturating_sub(self.used)
    }

    /// Returns whether one more thing of `level` is admitted.
    #[must_use]
    pub fn admits(&self, level: Level) -> bool {
        self.left(level) > 0
    }

    /// Takes a place for one thing of `level`, and returns whether there was one.
    pub fn take(&mut self, level: Level) -> bool {
        let is_admitted = self.admits(level);
        self.used += usize::from(is_admitted);
        is_admitted
    }
}

/// Shares `max` places among those who need so many each: whoever needs no more than an equal share has it all, and the
/// others have as much as each other.
#[must_use]
pub fn shares(needs: &[usize], max: usize) -> Vec<usize> {
    let mut smallest_first: Vec<usize> = (0..needs.len()).collect();
    smallest_first.sort_by_key(|index| needs[*index]);
    let mut shares = vec![0; needs.len()];
    let mut left = max;
    for (done, index) in smallest_first.into_iter().enumerate() {
        shares[index] = needs[index].min(left / (needs.len() - done));
        left -= shares[index];
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_needs_little_has_it_and_the_others_share_the_rest() {
        assert_eq!(shares(&[100, 3, 0, 90], 63), [30, 3, 0, 30]);
        assert_eq!(shares(&[5, 6], 100), [5, 6]);
        assert_eq!(shares(&[usize::MAX, 7], 3), [2, 1]);
        assert!(shares(&[], 3).is_empty());
    }

    fn taken(room: &mut Room, level: Level) -> usize {
        std::iter::repeat_with(|| room.take(level)).take_while(|is_taken| *is_taken).count()
    }

    #[test]
    fn a_tenth_is_reserved_for_medium_and_half_of_it_for_high() {
        let mut room = Room::new(200);
        let by_level = Level::ALL.map(|level| taken(&mut room, level));
        assert_eq!((by_level, room), ([180, 0, 10, 10, 0], Room { max: 200, used: 200 }));

        let mut only_low = Room::new(200);
        assert_eq!((taken(&mut only_low, Level::Low), only_low.left(Level::Critical)), (180, 20));
        let mut only_high = Room::new(200);
        assert_eq!((taken(&mut only_high, Level::High), only_high.left(Level::Low)), (200, 0));
    }

    #[test]
    fn a_small_room_reserves_nothing_and_none_overflows() {
        assert_eq!(Level::ALL.map(|level| Room::new(9).max_of(level)), [9; 5]);
        assert_eq!(Level::ALL.map(|level| Room::new(0).admits(level)), [false; 5]);
        assert!(Level::ALL.iter().all(|level| Room::new(usize::MAX).admits(*level)));
        assert!(!Room { max: 10, used: 1000 }.admits(Level::Critical));
    }
}
