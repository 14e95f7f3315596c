import TestSupport
import Testing
import ToolCalls

@Suite struct HarmonyParserTests {
    private struct Result: Equatable {
        var reasoning = ""
        var content = ""
        var calls: [ToolCall] = []
    }

    private func parse(_ parts: [String], isWhole: Bool = true) -> Result {
        var parser = HarmonyParser()
        var result = Result()
        for part in parts.flatMap({ parser.append($0) }) + parser.finish(isWhole: isWhole) {
            switch part {
            case .reasoning(let text): result.reasoning += text
            case .content(let text): result.content += text
            case .call(let call): result.calls.append(call)
            }
        }
        return result
    }

    static let answers = [
        "<|channel|>analysis<|message|>A plan.<|end|><|start|>assistant<|channel|>final<|message|>Hello!",
        "<|channel|>final<|message|>Hello < there <|en",
        "<|channel|>analysis<|message|>Look.<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather "
            + "<|constrain|>json<|message|>{\"city\": \"Rome\"}",
        "<|channel|>commentary<|message|>First.<|end|><|start|>assistant to=functions.a<|channel|>commentary<|message|>{}"
            + "<|call|><|start|>assistant<|channel|>commentary to=functions.b json<|message|>{\"x\": 1}<|call|>",
        "<|channel|>commentary to=functions.f<|message|>{city}<|call|>", "no messages at all <|end|>",
        "<|channel|>analysis without an end", " to=functions.f<|channel|>commentary<|message|>{}",
    ]

    private static let results = [
        Result(reasoning: "A plan.", content: "Hello!"), Result(content: "Hello < there <|en"),
        Result(reasoning: "Look.", calls: [ToolCall(name: "get_weather", arguments: #"{"city": "Rome"}"#)]),
        Result(
            content: "First.",
            calls: [ToolCall(name: "a", arguments: "{}"), ToolCall(name: "b", arguments: #"{"x": 1}"#)]),
        Result(content: "<|channel|>commentary to=functions.f<|message|>{city}<|call|>"),
        Result(content: "no messages at all <|end|>"), Result(content: "<|channel|>analysis without an end"),
        Result(calls: [ToolCall(name: "f", arguments: "{}")]),
    ]

    @Test(arguments: zip(answers, results))
    private func meansTheSameInOnePieceAndInTwo(_ answer: String, _ expected: Result) {
        #expect(parse([answer]) == expected)
        let scalars = Array(answer.unicodeScalars)
        for place in 0...scalars.count {
            let first = String(String.UnicodeScalarView(scalars[..<place]))
            let second = String(String.UnicodeScalarView(scalars[place...]))
            #expect(parse([first, second]) == expected, "split at \(place)")
        }
        #expect(parse(scalars.map { String($0) }) == expected)
    }

    @Test func aCallThatIsCutOffIsContent() {
        let answer = Self.answers[2]
        let cut = parse([answer], isWhole: false)
        #expect(cut.calls.isEmpty && cut.reasoning == "Look.")
        #expect(cut.content.hasSuffix(#"<|message|>{"city": "Rome"}"#))
    }

    @Test func reasoningIsShownAsItComes() {
        var parser = HarmonyParser()
        #expect(parser.append("<|channel|>analysis<|mess") == [])
        #expect(parser.append("age|>A pl") == [.reasoning("A pl")])
        #expect(parser.append("an.<|") == [.reasoning("an.")])
        #expect(parser.append("end|><|start|>assistant<|channel|>final<|message|>He") == [.content("He")])
    }

    @Test(arguments: answers)
    func partsDontMatterInDamagedAnswers(_ answer: String) {
        var random = SplitMix(seed: 11)
        let vocabulary = HarmonyParser.markers + ["{", "}", "\"", " to=", " ", "x", "é"]
        for _ in 0..<300 {
            var scalars = Array(answer.unicodeScalars)
            for _ in 0..<1 + Int(random.next() % 4) {
                let place = Int(random.next() % UInt64(scalars.count + 1))
                let end = min(scalars.count, place + Int(random.next() % 8))
                let piece = vocabulary[Int(random.next() % UInt64(vocabulary.count))]
                scalars.replaceSubrange(place..<end, with: random.next() % 2 == 0 ? Array(piece.unicodeScalars) : [])
            }
            let text = String(String.UnicodeScalarView(scalars))
            #expect(parse([text]) == parse(scalars.map { String($0) }), "\(text)")
        }
    }
}
