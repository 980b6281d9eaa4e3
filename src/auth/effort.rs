//! Work that is slow: with passwords, on purpose, and because another server answers. It is done once for a request, while
//! nobody waits for it but its client: an attempt that is repeated runs while a group of requests holds its tenants' heads, and
//! finds what the first one found.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::thread::available_parallelism;

use tokio::sync::Semaphore;

use crate::answer::Refusal;
use crate::crypto;
use crate::crypto::password::PasswordHash;
use crate::secret::{SecretBytes, SecretText};

/// Passwords that may wait to be hashed; one more is refused.
const WAITING_MAX: usize = 64;

/// One for each processor but one, which is left for everybody else.
static HASHING: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let processors = available_parallelism().map_or(1, std::num::NonZero::get);
    Arc::new(Semaphore::new(processors.saturating_sub(1).max(1)))
});
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// What was worked out for one request.
#[derive(Default)]
pub struct Effort {
    repeated: AtomicBool,
    done: OnceLock<Done>,
}

enum Done {
    Checked {
        /// Which hash it was; none of a name without one.
        against: Option<[u8; 32]>,
        verdict: Verdict,
    },
    Hashed(PasswordHash),
    Redeemed(Option<Redeemed>),
}

/// What another server gave for a code that it takes once.
pub struct Redeemed {
    /// Its token about somebody.
    pub id_token: SecretText,
    /// What else it says about them.
    pub user_info: Option<SecretBytes>,
}

/// What came of checking a password.
pub struct Verdict {
    /// It was the right one.
    pub right: bool,
    /// A hash as it is made here, for a right password whose hash is another.
    pub better: Option<PasswordHash>,
}

static WRONG: Verdict = Verdict { right: false, better: None };

impl Effort {
    /// The first attempt is over: whatever is not worked out by now is not worked out any more.
    pub fn first_attempt_is_over(&self) {
        self.repeated.store(true, Ordering::Relaxed);
    }

    /// Whether something slow may be begun: nobody waits but the client.
    pub fn may_begin(&self) -> bool {
        !self.repeated.load(Ordering::Relaxed)
    }

    /// Has a code redeemed, once; `None` when that failed.
    pub async fn redeem(&self, redeem: impl Future<Output = Option<Redeemed>>) -> Result<Option<&Redeemed>, Refusal> {
        if self.done.get().is_none() {
            if !self.may_begin() {
                return Err(changed());
            }
            let redeemed = redeem.await;
            let _ = self.done.set(Done::Redeemed(redeemed));
        }
        Ok(match self.done.get() {
            Some(Done::Redeemed(redeemed)) => redeemed.as_ref(),
            _ => None,
        })
    }

    /// Checks a password against a hash; without one it takes as long, and is wrong. A password whose hash has changed
    /// meanwhile is wrong, too: the one was right before the change, and the other after it.
    pub async fn check(&self, stored: Option<&PasswordHash>, password: &SecretText) -> Result<&Verdict, Refusal> {
        let against = stored.map(fingerprint);
        if let Some(Done::Checked { against: checked, verdict }) = self.done.get() {
            return Ok(if *checked == against { verdict } else { &WRONG });
        }
        let text = stored.map(|hash| copy(hash.text()));
        let password = copy(password);
        let verdict = self.work(move || judge(text.as_ref(), &password)).await?;
        match self.done.get_or_init(|| Done::Checked { against, verdict }) {
            Done::Checked { verdict, .. } => Ok(verdict),
            Done::Hashed(_) | Done::Redeemed(_) => Ok(&WRONG),
        }
    }

    /// Hashes a password.
    pub async fn hash(&self, password: &SecretText) -> Result<&PasswordHash, Refusal> {
        if let Some(Done::Hashed(hash)) = self.done.get() {
            return Ok(hash);
        }
        let password = copy(password);
        let hash = self.work(move || PasswordHash::of(&password)).await?;
        match self.done.get_or_init(|| Done::Hashed(hash)) {
            Done::Hashed(hash) => Ok(hash),
            _ => Err(Refusal::Internal("a request checks a password or sets one".into())),
        }
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
        if !self.may_begin() {
            return Err(changed());
        }
        let _place = Place::take()?;
        let stopping = || Refusal::Unavailable("the server is stopping".into());
        let permit = Arc::clone(&HASHING).acquire_owned().await.map_err(|_| stopping())?;
        let worked = tokio::task::spawn_blocking(move || {
            let worked = work();
            // Given back by the work, and not by whoever waits for it and may go away.
            drop(permit);
            worked
        });
        worked.await.map_err(|_| stopping())
    }
}

fn changed() -> Refusal {
    Refusal::Unavailable("what the request depends on has changed meanwhile; try again".into())
}

/// A place among those who wait.
struct Place;

impl Place {
    fn take() -> Result<Self, Refusal> {
        let place = Self;
        if WAITING.fetch_add(1, Ordering::Relaxed) >= WAITING_MAX {
            return Err(Refusal::TooMany("too many passwords are being checked; try again".into()));
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

fn judge(stored: Option<&SecretText>, password: &SecretText) -> Verdict {
    let Some(Ok(hash)) = stored.map(|text| PasswordHash::parse(text.expose())) else {
        PasswordHash::check_nothing(password);
        return Verdict { right: false, better: None };
    };
    let right = hash.is_of(password);
    Verdict { right, better: (right && !hash.is_ours()).then(|| PasswordHash::of(password)) }
}

fn fingerprint(hash: &PasswordHash) -> [u8; 32] {
    crypto::sha256(&[hash.text().expose().as_bytes()])
}

fn copy(text: &SecretText) -> SecretText {
    SecretText::new(text.expose().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> SecretText {
        SecretText::new(text.to_owned())
    }

    #[tokio::test]
    async fn a_repeated_attempt_works_nothing_out() {
        let (right, hash) = (password("right"), PasswordHash::of(&password("right")));
        let effort = Effort::default();
        assert!(effort.check(Some(&hash), &right).await.unwrap().right);
        effort.first_attempt_is_over();
        assert!(effort.check(Some(&hash), &right).await.unwrap().right, "it is remembered");
        let other = PasswordHash::of(&right);
        assert!(!effort.check(Some(&other), &right).await.unwrap().right, "another hash was never checked");
        assert!(!effort.check(None, &right).await.unwrap().right, "and neither was none");

        let late = Effort::default();
        late.first_attempt_is_over();
        assert!(matches!(late.check(Some(&hash), &right).await, Err(Refusal::Unavailable(_))));
        assert!(matches!(late.hash(&right).await, Err(Refusal::Unavailable(_))));
    }

    #[tokio::test]
    async fn a_code_is_redeemed_once_whatever_comes_of_it() {
        for given in [true, false] {
            let effort = Effort::default();
            let redeemed = || Redeemed { id_token: password("token"), user_info: None };
            let first = effort.redeem(async { given.then(redeemed) }).await;
            assert!(first.is_ok_and(|found| found.is_some() == given));
            effort.first_attempt_is_over();
            let again = effort.redeem(async { panic!("a second time") }).await;
            assert!(again.is_ok_and(|found| found.is_some() == given));
        }
        let late = Effort::default();
        late.first_attempt_is_over();
        assert!(matches!(late.redeem(async { None }).await, Err(Refusal::Unavailable(_))));
    }

    #[tokio::test]
    async fn a_hash_that_others_made_is_made_anew_for_the_right_password_only() {
        let brought = PasswordHash::parse("$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW").unwrap();
        let (right, wrong) = (Effort::default(), Effort::default());
        let verdict = right.check(Some(&brought), &password("U*U")).await.unwrap();
        assert!(verdict.right && verdict.better.as_ref().is_some_and(PasswordHash::is_ours));
        let verdict = wrong.check(Some(&brought), &password("U*V")).await.unwrap();
        assert!(!verdict.right && verdict.better.is_none());
    }
}
