import TestSupport
import Testing
import ToolCalls

@Suite struct CallParserTests {
    /// What an answer comes to that arrives in these parts.
    private func parse(
        _ syntax: any ToolSyntax, _ parts: [String], isWhole: Bool = true
    ) -> (content: String, calls: [ToolCall]) {
        var parser = CallParser(syntax, tools: SyntaxVector.tools)
        let found = parts.flatMap { parser.append($0) } + parser.finish(isWhole: isWhole)
        return Self.sum(found)
    }

    static func sum(_ parts: [AnswerPart]) -> (content: String, calls: [ToolCall]) {
        var result = (content: "", calls: [ToolCall]())
        for part in parts {
            switch part {
            case .content(let text): result.content += text
            case .call(let call): result.calls.append(call)
            case .reasoning: Issue.record("calls are looked for in content")
            }
        }
        return result
    }

    @Test(arguments: SyntaxVector.good + SyntaxVector.bad)
    func meansTheSameInOnePieceAndInTwo(_ vector: SyntaxVector) {
        let whole = parse(vector.syntax, [vector.answer])
        #expect(whole.content == vector.content)
        #expect(whole.calls == vector.calls)
        let scalars = Array(vector.answer.unicodeScalars)
        func text(_ part: ArraySlice<Unicode.Scalar>) -> String {
            var view = String.UnicodeScalarView()
            view.append(contentsOf: part)
            return String(view)
        }
        for place in 0...scalars.count {
            let split = parse(vector.syntax, [text(scalars[..<place]), text(scalars[place...])])
            #expect(split.content == whole.content && split.calls == whole.calls, "split at \(place)")
        }
        let single = parse(vector.syntax, scalars.map { String($0) })
        #expect(single.content == whole.content && single.calls == whole.calls)
    }

    /// An answer that was cut off isn't read on.
    @Test(arguments: SyntaxVector.good)
    func whatIsCutOffIsContent(_ vector: SyntaxVector) {
        for count in 0..<vector.answer.unicodeScalars.count {
            let start = String(String.UnicodeScalarView(vector.answer.unicodeScalars.prefix(count)))
            let cut = parse(vector.syntax, [start], isWhole: false)
            #expect(vector.calls.starts(with: cut.calls))
            if cut.calls.isEmpty { #expect(cut.content == start) }
        }
    }

    /// Text is shown as soon as it can't be part of a call.
    @Test func contentIsNotHeldBack() {
        var parser = CallParser(HermesSyntax(), tools: [])
        #expect(parser.append("Once ") == [.content("Once")])
        #expect(parser.append("upon") == [.content(" upon")])
        #expect(parser.append(" a <tool") == [.content(" a")])
        #expect(parser.append("box>") == [.content(" <toolbox>")])
        #expect(parser.append(" <tool_call>") == [])
        #expect(parser.append("{\"name\":\"f\"}</tool_call") == [])
        #expect(parser.append(">") == [.call(ToolCall(name: "f", arguments: "{}"))])
        #expect(parser.append("\n") == [])
        #expect(parser.finish(isWhole: true) == [])
    }

    /// Whatever a model writes: the parts don't matter, and what isn't a call is there to the last character.
    @Test(arguments: SyntaxVector.good)
    func damagedAnswersLoseNothing(_ vector: SyntaxVector) {
        var random = SplitMix(seed: 7)
        let vocabulary = vector.syntax.markers + ["{", "}", "\"", "\\", " ", "\n", "x", "é", ","]
        for _ in 0..<400 {
            var scalars = Array(vector.answer.unicodeScalars)
            for _ in 0..<1 + Int(random.next() % 4) {
                let place = Int(random.next() % UInt64(scalars.count + 1))
                let end = min(scalars.count, place + Int(random.next() % 6))
                let piece = vocabulary[Int(random.next() % UInt64(vocabulary.count))]
                scalars.replaceSubrange(place..<end, with: random.next() % 2 == 0 ? Array(piece.unicodeScalars) : [])
            }
            let answer = String(String.UnicodeScalarView(scalars))
            let whole = parse(vector.syntax, [answer])
            if whole.calls.isEmpty { #expect(whole.content == answer) }
            var parts: [String] = []
            var rest = scalars[...]
            while !rest.isEmpty {
                let count = min(rest.count, 1 + Int(random.next() % 7))
                parts.append(String(String.UnicodeScalarView(rest.prefix(count))))
                rest = rest.dropFirst(count)
            }
            let split = parse(vector.syntax, parts)
            #expect(split.content == whole.content && split.calls == whole.calls, "\(answer)")
        }
    }

    @Test func templatesTellTheSyntax() {
        func name(_ template: String) -> String? { ToolSyntaxes.syntax(ofTemplate: template).map { "\(type(of: $0))" } }
        #expect(name("{{ '<｜tool▁calls▁begin｜>' }}") == "DeepSeekSyntax")
        #expect(name("<|tool_calls_section_begin|>") == "KimiSyntax")
        #expect(name("<tool_call>{function-name}\n<arg_key>") == "GLMSyntax")
        #expect(name("[TOOL_CALLS]") == "MistralSyntax")
        #expect(name("return a json object within <tool_call></tool_call>") == "HermesSyntax")
        #expect(name("{{ messages }}") == nil)
    }
}
