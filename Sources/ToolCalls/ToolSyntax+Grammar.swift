package import Constraints
import JSON

// What each family's models are trained to write. Where `parts` takes more than that, less is written.

extension HermesSyntax {
    package func calls(
        _ rules: CallRules, in builder: inout GrammarBuilder, then next: Grammar.StateID
    ) throws(GrammarError) -> Grammar.StateID {
        let functions = try rules.arguments(in: &builder)
        return try rules.calls(in: &builder, then: next) { (builder, call) throws(GrammarError) in
            try builder.optionalSpace(then: builder.marker(opening, then: call))
        } _: { (builder, next) throws(GrammarError) in
            let close = try builder.optionalSpace(then: builder.marker(closing, then: next))
            return try builder.optionalSpace(then: builder.callObject(functions, then: close))
        }
    }
}

extension MistralSyntax {
    package func calls(
        _ rules: CallRules, in builder: inout GrammarBuilder, then next: Grammar.StateID
    ) throws(GrammarError) -> Grammar.StateID {
        let functions = try rules.arguments(in: &builder)
        let close = try builder.optionalSpace(then: builder.text("]", then: next))
        let calls = try rules.calls(in: &builder, then: close) { (builder, call) throws(GrammarError) in
            try builder.text(",", then: builder.optionalSpace(then: call))
        } _: { (builder, next) throws(GrammarError) in
            try builder.callObject(functions, then: next)
        }
        let open = try builder.text("[", then: builder.optionalSpace(then: calls))
        return try builder.optionalSpace(then: open)
    }
}

extension DeepSeekSyntax {
    package func calls(
        _ rules: CallRules, in builder: inout GrammarBuilder, then next: Grammar.StateID
    ) throws(GrammarError) -> Grammar.StateID {
        let functions = try rules.arguments(in: &builder)
        let close = try builder.optionalSpace(then: builder.marker(closing, then: next))
        return try rules.calls(in: &builder, then: close) { (builder, call) throws(GrammarError) in
            try builder.optionalSpace(then: call)
        } _: { (builder, next) throws(GrammarError) in
            let callEnd = try builder.marker(callEnd, then: next)
            let plain = try builder.name(of: functions, \.name) { (builder, function) throws(GrammarError) in
                try builder.marker(separator, then: builder.call(function.rule, then: callEnd))
            }
            let closed = try builder.text("\n\(fence)", then: callEnd)
            let fenced = try builder.name(of: functions, \.name) { (builder, function) throws(GrammarError) in
                try builder.text("\n\(fence)json\n", then: builder.call(function.rule, then: closed))
            }
            let kind = try builder.text("function", then: builder.marker(separator, then: fenced))
            return try builder.marker(callBegin, then: builder.fork([plain, kind]))
        }
    }
}

extension KimiSyntax {
    package func calls(
        _ rules: CallRules, in builder: inout GrammarBuilder, then next: Grammar.StateID
    ) throws(GrammarError) -> Grammar.StateID {
        let functions = try rules.arguments(in: &builder)
        let digit = ByteSet("0123456789".utf8)
        let close = try builder.optionalSpace(then: builder.marker(closing, then: next))
        return try rules.calls(in: &builder, then: close) { (builder, call) throws(GrammarError) in
            try builder.optionalSpace(then: call)
        } _: { (builder, next) throws(GrammarError) in
            let callEnd = try builder.marker(callEnd, then: next)
            let name = try builder.name(of: functions, \.name) { (builder, function) throws(GrammarError) in
                let arguments = try builder.marker(argumentBegin, then: builder.call(function.rule, then: callEnd))
                let second = try builder.fork([arguments, builder.set(digit, then: arguments)])
                return try builder.text(":", then: builder.set(digit, then: second))
            }
            return try builder.marker(callBegin, then: builder.text("functions.", then: name))
        }
    }
}
