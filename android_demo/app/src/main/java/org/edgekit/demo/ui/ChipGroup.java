package org.edgekit.demo.ui;

import android.content.Context;
import android.util.AttributeSet;
import android.view.LayoutInflater;
import android.view.View;
import android.view.ViewGroup;
import android.widget.CheckBox;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import org.edgekit.demo.R;

/** Chips side by side, as many in a row as fit; those that are chosen are checked. */
public final class ChipGroup extends ViewGroup {
    private boolean isSingle;

    public ChipGroup(Context context, AttributeSet attributes) {
        super(context, attributes);
    }

    /**
     * Shows chips in place of those before.
     *
     * @param keys what a chip stands for
     * @param titles the chips' words
     * @param chosen keys of the checked chips
     * @param single at most one is checked
     */
    void show(List<String> keys, List<String> titles, Collection<String> chosen, boolean single) {
        isSingle = single;
        removeAllViews();
        for (int place = 0; place < keys.size(); place++) {
            CheckBox chip = (CheckBox) LayoutInflater.from(getContext()).inflate(R.layout.chip, this, false);
            chip.setText(titles.get(place));
            chip.setTag(keys.get(place));
            chip.setChecked(chosen.contains(keys.get(place)));
            chip.setSaveEnabled(false);
            chip.setOnClickListener(view -> uncheckOthers(chip));
            addView(chip);
        }
    }

    /** Keys of the checked chips. */
    List<String> chosen() {
        List<String> keys = new ArrayList<>();
        for (int place = 0; place < getChildCount(); place++) {
            CheckBox chip = (CheckBox) getChildAt(place);
            if (chip.isChecked()) {
                keys.add((String) chip.getTag());
            }
        }
        return keys;
    }

    @Override
    public void setEnabled(boolean enabled) {
        super.setEnabled(enabled);
        for (int place = 0; place < getChildCount(); place++) {
            getChildAt(place).setEnabled(enabled);
        }
    }

    private void uncheckOthers(CheckBox chip) {
        for (int place = 0; isSingle && place < getChildCount(); place++) {
            if (getChildAt(place) != chip) {
                ((CheckBox) getChildAt(place)).setChecked(false);
            }
        }
    }

    @Override
    protected void onMeasure(int widthSpec, int heightSpec) {
        int width = MeasureSpec.getSize(widthSpec);
        measureChildren(
                MeasureSpec.makeMeasureSpec(width, MeasureSpec.AT_MOST),
                MeasureSpec.makeMeasureSpec(0, MeasureSpec.UNSPECIFIED));
        setMeasuredDimension(width, place(width, false));
    }

    @Override
    protected void onLayout(boolean changed, int left, int top, int right, int bottom) {
        place(right - left, true);
    }

    /** Places the chips row by row, where asked, and returns the height of all rows. */
    private int place(int width, boolean isLaidOut) {
        boolean isRightToLeft = getLayoutDirection() == View.LAYOUT_DIRECTION_RTL;
        int gap = (int) (8 * getResources().getDisplayMetrics().density);
        int x = 0;
        int y = 0;
        int row = 0;
        for (int place = 0; place < getChildCount(); place++) {
            View chip = getChildAt(place);
            if (x > 0 && x + chip.getMeasuredWidth() > width) {
                x = 0;
                y += row;
                row = 0;
            }
            if (isLaidOut) {
                int start = isRightToLeft ? width - x - chip.getMeasuredWidth() : x;
                chip.layout(start, y, start + chip.getMeasuredWidth(), y + chip.getMeasuredHeight());
            }
            x += chip.getMeasuredWidth() + gap;
            row = Math.max(row, chip.getMeasuredHeight());
        }
        return y + row;
    }
}
