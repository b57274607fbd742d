package org.edgekit.demo.ui;

import android.view.View;

/** Room for the system's bars, the camera's hole and the keyboard, over which a window reaches. */
final class Insets {
    private Insets() {}

    /** Keeps a screen's outermost view clear of them. */
    @SuppressWarnings("deprecation") // its successor needs Android 11
    static void keepClear(View root) {
        root.setOnApplyWindowInsetsListener(
                (view, insets) -> {
                    view.setPadding(
                            insets.getSystemWindowInsetLeft(),
                            insets.getSystemWindowInsetTop(),
                            insets.getSystemWindowInsetRight(),
                            insets.getSystemWindowInsetBottom());
                    return insets.consumeSystemWindowInsets();
                });
    }
}
