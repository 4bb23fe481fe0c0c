from conformance.cases import Case


def more_cases() -> tuple[Case, ...]:
    return ()
