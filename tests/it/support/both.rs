//! Says the same to PostgreSQL and to the proxy, and compares the answers byte by byte.

use super::raw::{Frame, Raw, Target};

/// What to say, and how many ReadyForQuery to wait for before the next is said.
pub type Step = (Vec<u8>, usize);

/// The frames with which both answered each step.
#[derive(Debug)]
pub struct Both {
    pub direct: Vec<Vec<Frame>>,
    pub proxy: Vec<Vec<Frame>>,
}

impl Both {
    /// Panics at the first step that was answered differently.
    pub fn assert_same(&self) {
        for (step, (direct, proxy)) in self.direct.iter().zip(&self.proxy).enumerate() {
            assert_eq!(direct, proxy, "step {step}: PostgreSQL on the left, the proxy on the right");
        }
        assert_eq!(self.direct.len(), self.proxy.len());
    }
}

/// Runs a script on both, each on a connection of its own, first on PostgreSQL. What can't be equal is made equal:
/// process ids in BackendKeyData and NotificationResponse.
pub async fn both(direct: &Target, proxy: &Target, script: &[Step]) -> Both {
    Both { direct: play(direct, script).await, proxy: play(proxy, script).await }
}

async fn play(target: &Target, script: &[Step]) -> Vec<Vec<Frame>> {
    let mut raw = Raw::login(target).await;
    let mut answers = Vec::new();
    for (bytes, ready) in script {
        raw.send(bytes).await.expect("send");
        let frames = raw.until_ready(*ready).await.expect("frames");
        answers.push(frames.into_iter().map(normal).collect());
    }
    answers
}

fn normal(mut frame: Frame) -> Frame {
    match frame.kind {
        b'K' => frame.body.clear(),
        b'A' => frame.body[..4].fill(0),
        _ => {}
    }
    frame
}
