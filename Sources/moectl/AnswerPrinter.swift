package import API

/// Shows one answer as it arrives.
package struct AnswerPrinter: Sendable {
    /// How much the place where the answer goes can show.
    package enum Style: Sendable {
        /// A pipe or a file: the text as the model wrote it.
        case raw
        /// A terminal without escape sequences.
        case plain
        /// A terminal with them: thinking is dimmed, progress is overwritten in place.
        case styled
    }

    /// What becomes of the model's thinking.
    package enum Reasoning: Sendable {
        case shown
        case hidden
    }

    package private(set) var content = ""
    package private(set) var finishReason: FinishReason?
    package private(set) var usage: Usage?
    package private(set) var lossy: LossyReport?

    private let style: Style
    private let reasoning: Reasoning
    private let write: @Sendable (String) throws -> Void
    private var showsProgress = false
    private var isInReasoning = false
    private var lastWasNewline = true
    private var begin: ContinuousClock.Instant?
    private var end: ContinuousClock.Instant?
    private var firstPieceByteCount = 0
    private var byteCount = 0

    package init(style: Style, reasoning: Reasoning, write: @escaping @Sendable (String) throws -> Void) {
        self.style = style
        self.reasoning = reasoning
        self.write = write
    }

    package mutating func show(_ event: AnswerEvent) throws {
        switch event {
        case .queued(let position):
            try showProgress("waiting: \(position) other requests come first")
        case .prefill(let processed, let total):
            try showProgress("reading the prompt: \(processed) of \(total) tokens (\(100 * processed / total) %)")
        case .reasoning(let text):
            measure(text)
            guard reasoning == .shown else {
                try showProgress("thinking …")
                return
            }
            try beginReasoning()
            try show(text)
        case .content(let text):
            measure(text)
            let visible = try endReasoning() ? String(text.drop { $0.isNewline }) : text
            content += text
            try show(visible)
        case .finished(let reason): finishReason = reason
        case .usage(let counts): usage = counts
        case .lossy(let report): lossy = report
        }
    }

    /// Ends the answer's last line, complete or not, and leaves no colour or progress behind.
    package mutating func finish() throws {
        try clearProgress()
        if isInReasoning, style == .styled { try write(Escape.reset) }
        isInReasoning = false
        if !lastWasNewline { try write("\n") }
        lastWasNewline = true
    }

    /// Tokens a second from the first piece of text to the last. A piece may hold many tokens, so the first one's share
    /// is told by its length. nil where there is too little to measure.
    package var tokensPerSecond: Double? {
        guard let begin, let end, let tokens = usage?.completionTokens, byteCount > firstPieceByteCount, end > begin
        else { return nil }
        let measuredShare = 1 - Double(firstPieceByteCount) / Double(byteCount)
        return Double(tokens) * measuredShare / ((end - begin) / .seconds(1))
    }

    /// `[87 tokens, 312 tokens/s, prompt 14 tokens]`
    package var footer: String? {
        guard let usage else { return nil }
        var parts = ["\(usage.completionTokens) tokens"]
        if let rate = tokensPerSecond { parts.append("\(Quantity.rate(rate)) tokens/s") }
        parts.append("prompt \(usage.promptTokens) tokens")
        if let lossy, lossy.choiceCount > 0 {
            let total = Double(lossy.choiceCount)
            parts.append("\(Quantity.percent(Double(lossy.substitutedCount) / total)) of experts substituted")
            parts.append("\(Quantity.percent(Double(lossy.droppedCount) / total)) left out")
        }
        if finishReason == .length { parts.append("cut at the token limit") }
        return "[\(parts.joined(separator: ", "))]"
    }

    private mutating func measure(_ text: String) {
        let now = ContinuousClock.now
        if begin == nil {
            begin = now
            firstPieceByteCount = text.utf8.count
        }
        byteCount += text.utf8.count
        end = now
    }

    private mutating func show(_ text: String) throws {
        guard !text.isEmpty else { return }
        try clearProgress()
        try write(style == .raw ? text : TerminalText.neutralized(text))
        lastWasNewline = text.hasSuffix("\n")
    }

    private mutating func beginReasoning() throws {
        guard !isInReasoning else { return }
        try clearProgress()
        isInReasoning = true
        try write(style == .styled ? Escape.dim : "(thinking) ")
        lastWasNewline = false
    }

    /// True where the answer proper begins after its reasoning.
    private mutating func endReasoning() throws -> Bool {
        guard isInReasoning else { return false }
        isInReasoning = false
        if style == .styled { try write(Escape.reset) }
        try write(lastWasNewline ? "\n" : "\n\n")
        lastWasNewline = true
        return true
    }

    private mutating func showProgress(_ text: String) throws {
        guard style == .styled else { return }
        showsProgress = true
        try write("\r\(Escape.clearLine)\(Escape.dim)\(text)\(Escape.reset)")
    }

    private mutating func clearProgress() throws {
        guard showsProgress else { return }
        showsProgress = false
        try write("\r\(Escape.clearLine)")
    }
}

/// The few escape sequences in use (ECMA-48).
package enum Escape {
    package static let dim = "\u{1B}[2m"
    package static let reset = "\u{1B}[0m"
    package static let clearLine = "\u{1B}[K"
    package static let clearBelow = "\u{1B}[J"
    package static let beginPasteMode = "\u{1B}[?2004h"
    package static let endPasteMode = "\u{1B}[?2004l"
    package static let clearScreen = "\u{1B}[H\u{1B}[2J"
}
