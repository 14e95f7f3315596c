import Glibc

/// ln of a softmax, in f64 from f32 logits.
enum LogProbabilities {
    /// ln Σ exp(logit); infinite or no number if a logit is.
    static func normaliser(_ logits: Span<Float>) -> Double {
        var maximum = -Float.infinity
        for index in logits.indices {
            guard logits[index].isFinite else { return .nan }
            maximum = max(maximum, logits[index])
        }
        var sum = 0.0
        for index in logits.indices { sum += exp(Double(logits[index] - maximum)) }
        return Double(maximum) + log(sum)
    }

    /// Σ p · (ln p − ln q) of the reference's p and the model's q; never below 0, which only rounding could make it.
    static func divergence(
        reference: Span<Float>, _ referenceNormaliser: Double, _ logits: Span<Float>, _ normaliser: Double
    ) -> Double {
        var sum = 0.0
        for index in reference.indices {
            let expected = Double(reference[index]) - referenceNormaliser
            sum += exp(expected) * (expected - (Double(logits[index]) - normaliser))
        }
        return max(sum, 0)
    }

    /// The first of the greatest.
    static func best(_ logits: Span<Float>) -> Int {
        var best = 0
        for index in logits.indices where logits[index] > logits[best] { best = index }
        return best
    }
}
