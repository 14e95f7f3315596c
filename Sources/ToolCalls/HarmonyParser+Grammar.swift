package import Constraints

extension HarmonyParser {
    /// What all markers begin with. Messages don't spell it, for in them it would be read as one.
    package static let markerStart = "<|"

    /// Answers: reasoning in any number of messages, then one with the content or a call.
    ///
    /// - Parameters:
    ///   - final: the content, to the answer's end; nil if there must be a call.
    ///   - calls: nil if there are none. A call ends an answer, so there is never more than one.
    ///   - mayComment: whether it may say something before a call, which is content, too.
    package static func messages(
        final: Grammar.StateID?, _ calls: CallRules?, mayComment: Bool, in builder: inout GrammarBuilder
    ) throws(GrammarError) -> Grammar.StateID {
        let start = try builder.reserve()
        let assistant = try builder.marker("<|start|>", then: builder.text("assistant", then: start))
        let again = try builder.marker("<|end|>", then: assistant)
        let thought = try builder.anything(before: markerStart, completing: nil, leaving: again)
        var branches = [try message("analysis", in: &builder, then: thought)]
        if let final {
            // gpt-oss announces JSON as it does with calls.
            let body = try announced(in: &builder, then: final)
            branches.append(try builder.marker("<|channel|>", then: builder.text("final", then: body)))
        }
        if let calls {
            if mayComment { branches.append(try message("commentary", in: &builder, then: thought)) }
            branches += try heads(of: calls, in: &builder)
        }
        builder.define(start, branches)
        return start
    }

    /// Content that is any text, to the answer's end.
    package static func text(in builder: inout GrammarBuilder) throws(GrammarError) -> Grammar.StateID {
        try builder.anything(before: markerStart, completing: nil, leaving: builder.end)
    }

    /// Calls, with the recipient behind the channel or before it.
    private static func heads(
        of calls: CallRules, in builder: inout GrammarBuilder
    ) throws(GrammarError) -> [Grammar.StateID] {
        let functions = try calls.arguments(in: &builder)
        let behind = try builder.name(of: functions, \.name) { (builder, function) throws(GrammarError) in
            try announced(in: &builder, then: builder.call(function.rule, then: builder.end))
        }
        let before = try builder.name(of: functions, \.name) { (builder, function) throws(GrammarError) in
            let body = try announced(in: &builder, then: builder.call(function.rule, then: builder.end))
            return try builder.marker("<|channel|>", then: builder.text("commentary", then: body))
        }
        let recipient = " to=functions."
        let channel = try builder.text("commentary\(recipient)", then: behind)
        return [try builder.marker("<|channel|>", then: channel), try builder.text(recipient, then: before)]
    }

    private static func message(
        _ channel: String, in builder: inout GrammarBuilder, then next: Grammar.StateID
    ) throws(GrammarError) -> Grammar.StateID {
        try builder.marker("<|channel|>", then: builder.text(channel, then: builder.marker("<|message|>", then: next)))
    }

    /// A body, whose kind may be said before it.
    private static func announced(
        in builder: inout GrammarBuilder, then next: Grammar.StateID
    ) throws(GrammarError) -> Grammar.StateID {
        let body = try builder.marker("<|message|>", then: next)
        let kind = try builder.marker("<|constrain|>", then: builder.text("json", then: body))
        // A tab would belong to the recipient's name.
        return try builder.fork([body, kind, builder.text(" ", then: kind)])
    }
}
