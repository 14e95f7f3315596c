internal import CKernels

/// A closure that other threads may call while its owner waits for them: neither allocated nor counted.
@safe struct BorrowedClosure: @unchecked Sendable {
    // @unchecked: whoever calls it on several threads answers for what it does there, as with `ThreadPool.forEach`.

    private let closure: moed_closure

    private init(_ closure: moed_closure) { unsafe self.closure = closure }

    func callAsFunction(_ argument: Int) { unsafe moed_closure_call(closure, argument) }

    /// Lends `body` to `crew`, which is done with it when this returns.
    static func lend(_ body: (Int) -> Void, to crew: Crew) {
        unsafe withClosure(body, Unmanaged.passUnretained(crew).toOpaque()) { closure, crew in
            guard let crew = unsafe crew else { return }
            unsafe Unmanaged<Crew>.fromOpaque(crew)._withUnsafeGuaranteedRef { crew in
                unsafe crew.perform(BorrowedClosure(closure))
            }
        }
    }
}

/// `moed_with_closure`, as Swift calls it: a closure that doesn't escape is passed in two words.
@_silgen_name("moed_with_closure")
private func withClosure(
    _ body: (Int) -> Void, _ context: UnsafeMutableRawPointer?,
    _ use: @convention(c) (moed_closure, UnsafeMutableRawPointer?) -> Void)
