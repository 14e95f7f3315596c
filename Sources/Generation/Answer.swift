import Tokenizer

/// One answer as it grows: logits in, text out. Knows the rules by which it ends, and nothing of models and threads.
struct Answer {
    enum Step: Equatable {
        /// The model is to be stepped with this token.
        case more(Int32)
        case finished(FinishReason)
    }

    private let request: GenerationRequest
    private let tokenizer: Tokenizer
    private let endTokens: Set<Int32>
    private let mostTokens: Int
    private var sampler: Sampler
    private var guide: AnswerGuide?
    private var detokenizer: StreamingDetokenizer
    private var matcher: StopMatcher
    private var isReasoning: Bool
    /// Whether there was nothing but white space yet.
    private var isBlank = true

    /// UTF-8 bytes that the tokens stood for, and those of them that were shown.
    private var textByteCount = 0
    private var shownByteCount = 0
    /// Log-probabilities of tokens whose text isn't all shown, with the end of that text.
    private var waiting: [(end: Int, entry: TokenLogProbability)] = []

    var usage = TokenUsage()
    var seed: UInt64 { sampler.seed }

    init(
        request: GenerationRequest, tokenizer: Tokenizer, vocabularySize: Int, endTokens: Set<Int32>,
        contextLength: Int
    ) {
        self.request = request
        self.tokenizer = tokenizer
        self.endTokens = endTokens
        mostTokens = min(request.maximumTokens ?? .max, max(1, contextLength - request.promptTokens.count))
        sampler = Sampler(
            parameters: request.sampling, vocabularySize: vocabularySize, prompt: request.promptTokens)
        guide = request.constraint.map { AnswerGuide($0, tokenizer: tokenizer, endTokens: endTokens) }
        detokenizer = StreamingDetokenizer(
            tokenizer, skipSpecial: true, shown: request.shownTokens, continuesText: request.continuesText)
        matcher = StopMatcher(stops: request.stop)
        isReasoning = request.reasoningEndToken != nil && request.reasoningBeginToken == nil
        usage.promptTokens = request.promptTokens.count
    }

    /// Chooses the next token by the model's logits [vocabulary], and adds what can be shown to `delta`.
    mutating func advance(by logits: Span<Float>, into delta: inout TextDelta) throws(GenerationError) -> Step {
        let token = try choose(by: logits)
        usage.completionTokens += 1
        delta.tokenCount += 1
        if token == request.reasoningBeginToken, isBlank { isReasoning = true }
        if isReasoning {
            usage.reasoningTokens += 1
            isReasoning = token != request.reasoningEndToken
        }
        if endTokens.contains(token) {
            finish(&delta)
            return .finished(.stop)
        }

        let text = detokenizer.append(token)
        textByteCount += text.utf8.count
        isBlank = isBlank && text.allSatisfy(\.isWhitespace)
        if let count = request.alternativeCount {
            waiting.append((textByteCount, logProbability(of: token, in: logits, alternatives: count)))
        }
        show(matcher.append(text), in: &delta)
        if matcher.isStopped { return .finished(.stop) }
        if guide?.isFinished ?? false {
            finish(&delta)
            return .finished(.stop)
        }
        if usage.completionTokens >= mostTokens {
            finish(&delta)
            // The text that was kept back can complete a stop string.
            return .finished(matcher.isStopped ? .stop : .length)
        }
        return .more(token)
    }

    private mutating func choose(by logits: Span<Float>) throws(GenerationError) -> Int32 {
        // Taken out, so that nothing of it is copied.
        guard var guide = self.guide.take() else { return try sampler.sample(logits) }
        guard let token = try sampler.sample(logits, where: { guide.accepts($0) }) else { throw guide.failure }
        if !endTokens.contains(token) { guide.takeAccepted() }
        self.guide = guide
        return token
    }

    /// Shows what was kept back.
    private mutating func finish(_ delta: inout TextDelta) {
        let rest = detokenizer.finish()
        textByteCount += rest.utf8.count
        show(matcher.append(rest), in: &delta)
        show(matcher.finish(), in: &delta)
    }

    private mutating func show(_ text: String, in delta: inout TextDelta) {
        delta.text += text
        shownByteCount += text.utf8.count
        let ready = waiting.prefix { $0.end <= shownByteCount }
        delta.logProbabilities += ready.map(\.entry)
        waiting.removeFirst(ready.count)
    }

    private func logProbability(
        of token: Int32, in logits: Span<Float>, alternatives count: Int
    ) -> TokenLogProbability {
        let normalizer = logSumExp(logits)
        return TokenLogProbability(
            token: token, bytes: tokenizer.bytes(of: token),
            logProbability: Double(logits[Int(token)]) - normalizer,
            alternatives: likeliest(count, in: logits).map {
                .init(
                    token: $0, bytes: tokenizer.bytes(of: $0), logProbability: Double(logits[Int($0)]) - normalizer)
            })
    }
}
