/// One benchmark's ratio beside the threshold that is committed for it. Ratios, because they hold on fast machines and on
/// slow ones.
struct Verdict {
    enum Threshold {
        case atLeast(Double)
        case atMost(Double)
    }

    let name: String
    let ratio: Double
    /// What is divided by what.
    let meaning: String
    let threshold: Threshold

    var holds: Bool {
        switch threshold {
        case .atLeast(let bound): ratio >= bound
        case .atMost(let bound): ratio <= bound
        }
    }

    var line: String {
        let bound =
            switch threshold {
            case .atLeast(let bound): "at least \(bound)"
            case .atMost(let bound): "at most \(bound)"
            }
        let digits = (ratio * 1000).rounded() / 1000
        return "\(holds ? "ok  " : "FAIL")  \(name): \(digits) \(meaning) (\(bound))"
    }
}
